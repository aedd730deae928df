/* SPDX-License-Identifier: MIT */
/*
 * The log: which lines are written at which level, their words, the fields of journal records, and
 * the catalog's entry for each kind.
 *
 * Standard error is a file while a line is written. A function of this test takes the records for
 * the journal.
 */
#include "log.h"
#include "unit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char journal[1 << 20]; /* the fields of the records, one on each line */

static int journal_error; /* what sending a record fails with; 0: it succeeds */
static size_t n_asked;    /* how often a record was sent */

/* Replaces the C library's. */
ssize_t sendto(int fd, const void *record, size_t length, int flags, const struct sockaddr *address,
               socklen_t address_length)
{
        assert_true(fd >= 0);
        assert_true(flags & MSG_DONTWAIT);
        assert_int_equal(address_length, sizeof(struct sockaddr_un));
        assert_string_equal(((const struct sockaddr_un *)address)->sun_path,
                            "/run/systemd/journal/socket");
        n_asked++;
        if (journal_error) {
                errno = journal_error;
                return -1;
        }
        if (strlen(journal) + length < sizeof(journal))
                (void)strncat(journal, record, length);
        return (ssize_t)length;
}

/* Redirects standard error to a file. Return: a descriptor that restores it. */
static int divert_stderr(void)
{
        int file = open("stderr", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int saved = dup(STDERR_FILENO);

        assert_true(file >= 0 && saved >= 0);
        assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
        assert_int_equal(close(file), 0);
        return saved;
}

static void restore_stderr(int saved)
{
        (void)dup2(saved, STDERR_FILENO);
        (void)close(saved);
}

/*
 * Return: the line of @kind about @about on standard error, valid until the next call. Sets
 * journal[].
 */
static const char *write_line(enum log_kind kind, const struct log_about *about, const char *words)
{
        static char written[16384];
        char *text;
        int saved;

        journal[0] = '\0';
        saved = divert_stderr();
        log_init();
        log_write(kind, about, "%s", words);
        restore_stderr(saved);
        text = read_text("stderr");
        assert_non_null(text);
        (void)snprintf(written, sizeof(written), "%s", text);
        free(text);
        return written;
}

static int reset(void **state)
{
        (void)state;
        (void)unsetenv("JOURNAL_STREAM");
        journal_error = 0;
        journal[0] = '\0';
        log_init();
        log_set_level(LOG_LEVEL_INFO);
        return 0;
}

static void levels(void **state)
{
        static const struct {
                enum log_kind kind;
                enum log_level level;
        } kinds[] = {
                { LOG_CONFIG_INVALID, LOG_LEVEL_ERROR }, { LOG_START_FAILED, LOG_LEVEL_ERROR },
                { LOG_RELOAD_FAILED, LOG_LEVEL_ERROR },  { LOG_EXCEPTION, LOG_LEVEL_WARNING },
                { LOG_TURNED_AWAY, LOG_LEVEL_WARNING },  { LOG_READY, LOG_LEVEL_NOTICE },
                { LOG_IDLE_EXIT, LOG_LEVEL_NOTICE },     { LOG_LISTENING, LOG_LEVEL_INFO },
                { LOG_CONNECTED, LOG_LEVEL_INFO },       { LOG_CLOSED, LOG_LEVEL_INFO },
                { LOG_WAITING, LOG_LEVEL_DEBUG },        { LOG_RECEIVED, LOG_LEVEL_DEBUG },
                { LOG_SENDING, LOG_LEVEL_DEBUG },        { LOG_QUEUE_EMPTY, LOG_LEVEL_DEBUG },
        };

        (void)state;
        assert_true(log_wants(LOG_CONNECTED)); /* info is the first level */
        assert_false(log_wants(LOG_WAITING));
        for (enum log_level at = LOG_LEVEL_ERROR; at <= LOG_LEVEL_DEBUG; at++) {
                log_set_level(at);
                for (size_t i = 0; i < ELEMENTS(kinds); i++) {
                        bool wanted = kinds[i].level <= at;

                        assert_int_equal(log_wants(kinds[i].kind), wanted);
                        assert_string_equal(write_line(kinds[i].kind, NULL, "words"),
                                            wanted ? "words\n" : "");
                }
        }
}

static void line(void **state)
{
        const struct log_about service = { .service = "echo" };
        const struct log_about client = { .client = "127.0.0.1:5" };
        const struct log_about both = { .service = "echo",
                                        .client = "127.0.0.1:5",
                                        .connection = 7 };

        (void)state;
        assert_string_equal(write_line(LOG_READY, NULL, "ready: 1 service"), "ready: 1 service\n");
        assert_string_equal(write_line(LOG_LISTENING, &service, "listening"), "echo: listening\n");
        assert_string_equal(write_line(LOG_CONNECTED, &client, "connected"),
                            "127.0.0.1:5 connected\n");
        assert_string_equal(write_line(LOG_CONNECTED, &both, "connected"),
                            "echo: 127.0.0.1:5 connected\n");
        assert_string_equal(write_line(LOG_READY, &both, ""), "echo: 127.0.0.1:5 \n");
        assert_string_equal(journal, "");
}

/* A long line is cut, whichever part of it is long. It stays one line, and keeps its beginning. */
static void long_lines(void **state)
{
        static char words[20000];
        const struct log_about about[] = { { 0 },
                                           { .service = "echo" },
                                           { .service = words },
                                           { .client = words },
                                           { .service = words, .client = words } };

        (void)state;
        memset(words, 'x', sizeof(words) - 1);
        for (size_t i = 0; i < ELEMENTS(about); i++) {
                const char *text = write_line(LOG_READY, &about[i], words);
                size_t n = strlen(text);

                assert_in_range(n, 8000, 8192);
                assert_int_equal(strcspn(text, "\n"), n - 1);
        }
        /* just around the limit nothing is cut too early */
        words[8000] = '\0';
        assert_int_equal(strlen(write_line(LOG_READY, NULL, words)), 8001);
}

/* Sets JOURNAL_STREAM to the file that write_line() writes to. @device and @more make it wrong. */
static void set_journal_stream(unsigned device, const char *more)
{
        char value[64];
        struct stat st;
        int saved;

        (void)write_line(LOG_READY, NULL, "");
        assert_int_equal(stat("stderr", &st), 0);
        (void)snprintf(value, sizeof(value), "%ju:%ju%s", (uintmax_t)st.st_dev + device,
                       (uintmax_t)st.st_ino, more);
        assert_int_equal(setenv("JOURNAL_STREAM", value, 1), 0);
        saved = divert_stderr();
        log_init();
        restore_stderr(saved);
}

static void journal_record(void **state)
{
        const struct log_ending ending = { .bytes_in = 5,
                                           .bytes_out = UINT64_MAX,
                                           .duration_usec = 1204000,
                                           .reason = "end of stream" };
        const struct log_about closed = {
                .service = "echo", .client = "127.0.0.1:5", .connection = 7, .ending = &ending
        };
        const struct log_ending on_purpose = { .bytes_lost = 12,
                                               .reason = "reset_after 2 s",
                                               .fault = "to_client: rate; reset_after" };
        const struct log_about reset = { .ending = &on_purpose };
        const struct log_about invalid = { .config_file = "/etc/x", .config_line = 3 };

        (void)state;
        set_journal_stream(0, "");
        assert_string_equal(write_line(LOG_CLOSED, &closed, "closed"), "");
        assert_string_equal(journal, "MESSAGE=echo: 127.0.0.1:5 closed\n"
                                     "PRIORITY=6\n"
                                     "MESSAGE_ID=fc18fae405cd4418b6312e5889ab93cd\n"
                                     "SYSLOG_IDENTIFIER=selectd\n"
                                     "SELECTD_SERVICE=echo\n"
                                     "SELECTD_CLIENT=127.0.0.1:5\n"
                                     "SELECTD_CONNECTION=7\n"
                                     "SELECTD_BYTES_IN=5\n"
                                     "SELECTD_BYTES_OUT=18446744073709551615\n"
                                     "SELECTD_DURATION_USEC=1204000\n"
                                     "SELECTD_REASON=end of stream\n");
        assert_string_equal(write_line(LOG_CLOSED, &reset, "closed"), "");
        assert_non_null(strstr(journal, "SELECTD_BYTES_LOST=12\n"));
        assert_non_null(strstr(journal, "SELECTD_REASON=reset_after 2 s\n"
                                        "SELECTD_FAULT=to_client: rate; reset_after\n"));
        assert_string_equal(write_line(LOG_CONFIG_INVALID, &invalid, "x"), "");
        assert_string_equal(journal, "MESSAGE=x\n"
                                     "PRIORITY=3\n"
                                     "MESSAGE_ID=da8318230e124337b1380d5bb4dd103c\n"
                                     "SYSLOG_IDENTIFIER=selectd\n"
                                     "CONFIG_FILE=/etc/x\n"
                                     "CONFIG_LINE=3\n");
        (void)write_line(LOG_WAITING, NULL, "unwanted");
        assert_string_equal(journal, "");
        (void)write_line(LOG_READY, NULL, "");
        assert_non_null(strstr(journal, "MESSAGE=\nPRIORITY=5\n"));
}

/* Whatever the error, records wait in order, and none is lost while the queue has room. */
static void journal_that_comes_back(void **state)
{
        static const int errors[] = { EAGAIN, ECONNREFUSED, ENOENT, ENOBUFS };

        (void)state;
        set_journal_stream(0, "");
        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                journal_error = errors[i];
                log_write(LOG_READY, NULL, "one");
                log_write(LOG_CLOSED, NULL, "two");
                log_write(LOG_WAITING, NULL, "of no interest");
                assert_string_equal(journal, "");
                n_asked = 0;
                log_retry();
                assert_int_equal(n_asked, 1);
                journal_error = 0;
                if (i % 2)
                        log_retry();
                log_write(LOG_READY, NULL, "three");
                assert_int_equal(count_words(journal, "MESSAGE="), 3);
                assert_true(strstr(journal, "MESSAGE=one\n") < strstr(journal, "MESSAGE=two\n"));
                assert_true(strstr(journal, "MESSAGE=two\n") < strstr(journal, "MESSAGE=three\n"));
                journal[0] = '\0';
        }
}

/* Records that find no room are counted, and a line reports them at their place. */
static void journal_that_is_gone_for_long(void **state)
{
        static const struct {
                int error;
                const char *why;
        } cases[] = { { EAGAIN, "the reader was too slow" },
                      { ECONNREFUSED, "Connection refused" } };
        enum { ALL = 5000 };

        (void)state;
        set_journal_stream(0, "");
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint64_t before = log_count_lost(), counted;
                size_t lost;
                char *said;

                journal_error = cases[i].error;
                for (int j = 0; j < ALL; j++)
                        log_write(LOG_READY, NULL, "record");
                counted = log_count_lost() - before;
                journal_error = 0;
                log_retry();
                log_write(LOG_READY, NULL, "is it back?");
                said = strstr(journal, " records were lost: ");
                assert_non_null(said);
                while (said[-1] != '=')
                        said--;
                lost = strtoul(said, NULL, 10);
                assert_int_equal(counted, lost);
                assert_int_equal(log_count_lost() - before, lost); /* the report changes nothing */
                assert_int_equal(count_words(journal, "MESSAGE=record\n") + lost, ALL);
                assert_in_range(lost, 1, ALL - 1);
                assert_int_equal(count_words(journal, " lost: "), 1);
                assert_non_null(strstr(journal, cases[i].why));
                assert_null(strstr(said, "MESSAGE=record\n"));
                assert_non_null(strstr(said, "PRIORITY=4\n"));
                assert_non_null(strstr(said, "MESSAGE=is it back?\n"));
                journal[0] = '\0';
        }
}

/* A record that no datagram can hold is lost. The others are written. */
static void record_too_large(void **state)
{
        (void)state;
        set_journal_stream(0, "");
        journal_error = EMSGSIZE;
        log_write(LOG_READY, NULL, "large");
        journal_error = 0;
        log_write(LOG_READY, NULL, "small");
        assert_non_null(strstr(journal, "MESSAGE=1 record was lost: Message too long\n"));
        assert_non_null(strstr(journal, "MESSAGE=small\n"));
}

/* With another program's JOURNAL_STREAM, or junk, lines go to standard error. */
static void not_the_journal(void **state)
{
        static const char *const junk[] = { "", "1", ":", "1:", "x:y", "-1:-1" };

        (void)state;
        set_journal_stream(1, "");
        assert_string_equal(write_line(LOG_READY, NULL, "words"), "words\n");
        set_journal_stream(0, "0");
        assert_string_equal(write_line(LOG_READY, NULL, "words"), "words\n");
        for (size_t i = 0; i < ELEMENTS(junk); i++) {
                assert_int_equal(setenv("JOURNAL_STREAM", junk[i], 1), 0);
                log_init();
                assert_string_equal(write_line(LOG_READY, NULL, "words"), "words\n");
        }
        assert_string_equal(journal, "");
}

/* The catalog */

#define ID_LENGTH 32

struct ids {
        char id[64][ID_LENGTH + 1];
        size_t n;
};

/* The message IDs in @text that follow @before, in order. */
static void find_ids(const char *text, const char *before, struct ids *ids)
{
        ids->n = 0;
        for (const char *p = text; (p = strstr(p, before)); p++) {
                const char *id = p + strlen(before);

                if (strspn(id, "0123456789abcdef") != ID_LENGTH ||
                    isalnum((unsigned char)id[ID_LENGTH]))
                        continue;
                assert_in_range(ids->n, 0, ELEMENTS(ids->id) - 1);
                (void)snprintf(ids->id[ids->n++], ID_LENGTH + 1, "%s", id);
        }
}

static size_t count_id(const struct ids *ids, const char *id)
{
        size_t n = 0;

        for (size_t i = 0; i < ids->n; i++)
                n += strcmp(ids->id[i], id) == 0;
        return n;
}

static void catalog(void **state)
{
        char *code = read_text(SOURCE_DIR "/src/base/log.c");
        char *text = read_text(SOURCE_DIR "/systemd/selectd.catalog");
        struct ids kinds, entries;
        size_t missing = 0;

        (void)state;
        assert_non_null(code);
        assert_non_null(text);
        find_ids(code, "\"", &kinds);
        find_ids(text, "\n-- ", &entries);
        assert_int_equal(kinds.n, LOG_KINDS);
        for (size_t i = 0; i < kinds.n; i++) {
                if (count_id(&kinds, kinds.id[i]) == 1 && count_id(&entries, kinds.id[i]) == 1)
                        continue;
                print_error("%s: %zu kinds, %zu entries\n", kinds.id[i],
                            count_id(&kinds, kinds.id[i]), count_id(&entries, kinds.id[i]));
                missing++;
        }
        assert_int_equal(missing, 0);
        assert_int_equal(entries.n, kinds.n); /* no entries for kinds that do not exist */
        free(code);
        free(text);
}

static int start(void **state)
{
        int fd;

        return log_set_nonblocking(&fd) == 0 ? enter_directory(state) : -1;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(levels, reset, reset),
                cmocka_unit_test_setup_teardown(line, reset, reset),
                cmocka_unit_test_setup_teardown(long_lines, reset, reset),
                cmocka_unit_test_setup_teardown(journal_record, reset, reset),
                cmocka_unit_test_setup_teardown(journal_that_comes_back, reset, reset),
                cmocka_unit_test_setup_teardown(journal_that_is_gone_for_long, reset, reset),
                cmocka_unit_test_setup_teardown(record_too_large, reset, reset),
                cmocka_unit_test_setup_teardown(not_the_journal, reset, reset),
                cmocka_unit_test(catalog),
        };

        return cmocka_run_group_tests(tests, start, leave_directory);
}

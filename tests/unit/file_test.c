/* SPDX-License-Identifier: MIT */
/* Reading of whole files, and refused files. */
#include "file.h"
#include "unit.h"

#include <errno.h>

static void expect_refused(const char *path, int error, const char *words)
{
        struct stat st;
        int fd = -7;

        assert_int_equal(file_open(path, &fd, &st), error);
        assert_int_equal(fd, -7);
        assert_string_equal(file_error(error), words);
}

static void refused(void **state)
{
        (void)state;
        assert_int_equal(mkdir("directory", 0700), 0);
        assert_int_equal(mkfifo("fifo", 0600), 0);
        expect_refused("directory", -EISDIR, "Is a directory");
        expect_refused("fifo", -ENOTSUP, "not a regular file");
        expect_refused("/dev/null", -ENOTSUP, "not a regular file");
        expect_refused("missing", -ENOENT, "No such file or directory");
}

/* Up to @max bytes are read, NUL bytes included, and a NUL is added. */
static void read_whole(void **state)
{
        static const char bytes[] = "one\0two\n";
        const size_t n_bytes = sizeof(bytes) - 1;

        (void)state;
        write_bytes("file", bytes, n_bytes);
        for (size_t max = 0; max <= n_bytes + 1; max++) {
                _cleanup_(closep) int fd = -1;
                _cleanup_(freep) char *text = NULL;
                struct stat st;
                size_t n = 0;

                assert_int_equal(file_open("file", &fd, &st), 0);
                assert_int_equal(st.st_size, n_bytes);
                assert_int_equal(file_read(fd, max, &text, &n), 0);
                assert_int_equal(n, max < n_bytes ? max : n_bytes);
                assert_memory_equal(text, bytes, n);
                assert_true(text[n] == '\0');
        }
}

/* Out-parameters stay as they are. */
static void unreadable(void **state)
{
        _cleanup_(closep) int fd = open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        char *text = NULL;
        size_t n = 7;

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(file_read(fd, 10, &text, &n), -EBADF);
        assert_null(text);
        assert_int_equal(n, 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(refused),
                cmocka_unit_test(read_whole),
                cmocka_unit_test(unreadable),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}

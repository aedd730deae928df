/* SPDX-License-Identifier: MIT */
/*
 * The trial. It executes /proc/self/exe, which here is this test. As the child, the test ends in
 * the way that the file's name says.
 */
#include "trial.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

static int cancel_fd = -1;

/* Return: the status to exit with. */
static int behave(const char *file)
{
        if (strcmp(file, "/mistakes") == 0)
                return 78;
        if (strcmp(file, "/no-memory") == 0)
                return 71;
        if (strcmp(file, "/not-started") == 0)
                return 127;
        if (strcmp(file, "/status") == 0)
                return 2;
        if (strcmp(file, "/crash") == 0) {
                (void)signal(SIGSEGV, SIG_DFL);
                (void)raise(SIGSEGV);
        }
        while (strcmp(file, "/hang") == 0)
                (void)pause();
        return 0;
}

static int open_cancel_fd(void **state)
{
        (void)state;
        cancel_fd = eventfd(0, EFD_CLOEXEC);
        return cancel_fd < 0 ? -1 : 0;
}

static int close_cancel_fd(void **state)
{
        (void)state;
        return close(cancel_fd);
}

/* Every child has been reaped. */
static void assert_no_child(void)
{
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static void files_that_can_be_read(void **state)
{
        char why[TRIAL_WHY_SIZE];

        (void)state;
        assert_int_equal(trial_run("/fine", cancel_fd, why), 0);
        assert_int_equal(trial_run("/mistakes", cancel_fd, why), 0);
        assert_int_equal(trial_run("/not-started", cancel_fd, why), 0);
        assert_no_child();
}

static void files_that_kill(void **state)
{
        char why[TRIAL_WHY_SIZE];

        (void)state;
        assert_int_equal(trial_run("/crash", cancel_fd, why), -ENOEXEC);
        assert_string_equal(why, "the process that tried the file first died of signal 11 "
                                 "(Segmentation fault)");
        assert_int_equal(trial_run("/status", cancel_fd, why), -ENOEXEC);
        assert_string_equal(why, "the process that tried the file first ended with status 2");
        assert_int_equal(trial_run("/no-memory", cancel_fd, why), -ENOMEM);
        assert_no_child();
}

static void cancelled(void **state)
{
        char why[TRIAL_WHY_SIZE];

        (void)state;
        assert_int_equal(eventfd_write(cancel_fd, 1), 0);
        assert_int_equal(trial_run("/hang", cancel_fd, why), -ECANCELED);
        assert_no_child();
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(files_that_can_be_read, open_cancel_fd,
                                                close_cancel_fd),
                cmocka_unit_test_setup_teardown(files_that_kill, open_cancel_fd, close_cancel_fd),
                cmocka_unit_test_setup_teardown(cancelled, open_cancel_fd, close_cancel_fd),
        };

        if (argc == 4 && strcmp(argv[1], "--check") == 0)
                return behave(argv[3]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}

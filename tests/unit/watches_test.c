/* SPDX-License-Identifier: MIT */
/* The limit on epoll watches (ENOSPC) is reported as such, and not as a shortage of memory. */
#include "listener.h"
#include "turning.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

static bool full;

/* Replaces the C library's, for libevent as well. */
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
        if (full && op == EPOLL_CTL_ADD) {
                errno = ENOSPC;
                return -1;
        }
        return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

static void on_accept(struct listener *listener, int fd, const struct address *peer, void *arg)
{
        (void)listener;
        (void)peer;
        (void)arg;
        assert_int_equal(close(fd), 0);
}

static const struct socket_access everyone = { .mode = 0666 };
static const struct socket_options options;
static const struct listener_events events = { .on_accept = on_accept };

static void ignore(int severity, const char *message)
{
        (void)severity;
        (void)message;
}

static void a_listener(void **state)
{
        struct listener *listener = NULL;
        struct address address;
        int fd = -1;

        (void)state;
        event_set_log_callback(ignore);
        assert_int_equal(address_parse("127.0.0.1:0", &address), 0);
        assert_int_equal(listener_bind(&address, &everyone, 1, false, &fd), 0);
        full = true;
        assert_int_equal(listener_new(loop, fd, true, &options, &events, NULL, &listener), -ENOSPC);
        full = false;
        assert_int_equal(listener_new(loop, fd, true, &options, &events, NULL, &listener), 0);
        listener_pause(listener);
        full = true;
        assert_int_equal(listener_resume(listener), -ENOSPC);
        full = false;
        assert_int_equal(listener_resume(listener), 0);
        listener_free(listener);
}

static void words(void **state)
{
        (void)state;
        assert_string_equal(loop_strerror(-ENOSPC),
                            "too many epoll watches (sysctl fs.epoll.max_user_watches)");
        assert_string_equal(loop_strerror(-ENOMEM), strerrordesc_np(ENOMEM));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_listener, start_loop, stop_loop),
                cmocka_unit_test(words),
        };

        backend = "epoll";
        return cmocka_run_group_tests(tests, NULL, NULL);
}

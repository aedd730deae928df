/* SPDX-License-Identifier: MIT */
/*
 * The listener accepts a bounded number of clients in one turn, and all of them in the end. Also
 * files of unix sockets.
 */
#include "listener.h"
#include "turning.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CLIENTS 150

static int accepted, failed;

static void on_accept(struct listener *listener, int fd, const struct address *peer, void *arg)
{
        (void)listener;
        (void)arg;
        assert_int_equal(peer->sa.sa_family, AF_INET);
        assert_int_equal(close(fd), 0);
        accepted++;
}

static void on_error(struct listener *listener, int error, void *arg)
{
        (void)listener;
        (void)error;
        (void)arg;
        failed++;
}

static const struct socket_options options;
static const struct socket_access everyone = { .mode = 0666 };
static const struct listener_events events = { .on_accept = on_accept, .on_error = on_error };

static struct listener *listen_on(const char *text)
{
        struct listener *listener = NULL;
        struct address address;
        int fd = -1;

        assert_int_equal(address_parse(text, &address), 0);
        assert_int_equal(listener_bind(&address, &everyone, 4096, false, &fd), 0);
        assert_int_equal(listener_new(loop, fd, true, &options, &events, NULL, &listener), 0);
        return listener;
}

/* Clients that connect faster than they are accepted must not block the loop. */
static void batches(void **state)
{
        struct listener *listener = listen_on("127.0.0.1:0");
        const struct address *address = listener_address(listener);
        int clients[CLIENTS], most = 0;

        (void)state;
        accepted = 0;
        for (int i = 0; i < CLIENTS; i++) {
                clients[i] = socket(AF_INET, SOCK_STREAM, 0);
                assert_int_equal(connect(clients[i], &address->sa, address->length), 0);
        }
        while (accepted < CLIENTS) {
                int before = accepted;

                turn();
                most = accepted - before > most ? accepted - before : most;
        }
        assert_in_range(most, 1, 64);
        for (int i = 0; i < CLIENTS; i++)
                assert_int_equal(close(clients[i]), 0);
        listener_free(listener);
}

/* Clients that wait when the listener closes are accepted, even by a paused listener. */
static void pending(void **state)
{
        struct listener *listener = listen_on("127.0.0.1:0");
        const struct address *address = listener_address(listener);
        int client = socket(AF_INET, SOCK_STREAM, 0);

        (void)state;
        accepted = 0;
        listener_pause(listener);
        assert_int_equal(connect(client, &address->sa, address->length), 0);
        for (int i = 0; i < 5; i++)
                turn();
        assert_int_equal(accepted, 0);
        listener_accept_pending(listener);
        assert_int_equal(accepted, 1);
        assert_int_equal(close(client), 0);
        listener_free(listener);
}

/* A stale socket file is replaced. A file that is in use or not a socket is not. */
static void unix_files(void **state)
{
        char directory[] = "/tmp/selectd-XXXXXX", text[128], path[64];
        struct listener *listener;
        struct address address;
        int fd;

        (void)state;
        assert_non_null(mkdtemp(directory));
        (void)snprintf(path, sizeof(path), "%s/s", directory);
        (void)snprintf(text, sizeof(text), "unix:%s", path);
        listener = listen_on(text);
        assert_int_equal(address_parse(text, &address), 0);
        assert_int_equal(listener_bind(&address, &everyone, 1, false, &fd), -EADDRINUSE);
        listener_free(listener);
        assert_int_equal(access(path, F_OK), -1);

        assert_int_equal(listener_bind(&address, &everyone, 1, false, &fd), 0);
        assert_int_equal(close(fd), 0); /* as after a crash */
        listener_free(listen_on(text));

        assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
        assert_int_equal(listener_bind(&address, &everyone, 1, false, &fd), -EADDRINUSE);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(batches, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(pending, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(unix_files, start_loop, stop_loop),
        };

        return run_on_all_backends(tests);
}

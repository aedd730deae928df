/* SPDX-License-Identifier: MIT */
/* Files of unix sockets: one of several processes gets a path, with the requested access. */
#include "socket_file.h"
#include "unit.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/wait.h>

#define RIVALS 8
#define ROUNDS 100

static const struct socket_access everyone = { .mode = 0666 };

static struct address address_of(const char *path)
{
        struct address address;
        char text[sizeof(test_directory) + 64];

        (void)snprintf(text, sizeof(text), "unix:%s/%s", test_directory, path);
        assert_int_equal(address_parse(text, &address), 0);
        return address;
}

/* @out: set to the socket on success. Return: as socket_file_listen(). */
static int listen_at(const struct address *address, const struct socket_access *access, int *out)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        assert_true(fd >= 0);
        r = socket_file_listen(fd, address, access, 10);
        if (r == 0)
                *out = fd;
        else
                assert_int_equal(close(fd), 0);
        return r;
}

static void leave_stale(const struct address *address)
{
        int fd = -1;

        assert_int_equal(listen_at(address, &everyone, &fd), 0);
        assert_int_equal(close(fd), 0); /* as after a crash */
}

static bool can_connect(const struct address *address)
{
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return connect(fd, &address->sa, address->length) == 0;
}

/* A process that wants a path. It reports whether it listens, and runs until it is told to end. */
static pid_t start_rival(const struct address *address, int begin, int said, int end)
{
        pid_t child = fork();
        char byte = 'n';
        int fd = -1, r;

        if (child != 0)
                return child;
        (void)!read(begin, &byte, 1);
        r = listen_at(address, &everyone, &fd);
        byte = (char)(r == 0 ? 'y' : r == -EADDRINUSE ? 'n' : '?');
        (void)!write(said, &byte, 1);
        (void)!read(end, &byte, 1);
        _exit(0);
}

/* Return: how many processes listen. */
static int race(const struct address *address)
{
        int begin[2], said[2], end[2], listening = 0;
        pid_t rivals[RIVALS];

        assert_int_equal(pipe(begin) | pipe(said) | pipe(end), 0);
        for (int i = 0; i < RIVALS; i++) {
                rivals[i] = start_rival(address, begin[0], said[1], end[0]);
                assert_true(rivals[i] > 0);
        }

        assert_int_equal(write(begin[1], "12345678", RIVALS), RIVALS);
        for (int i = 0; i < RIVALS; i++) {
                char byte;

                assert_int_equal(read(said[0], &byte, 1), 1);
                assert_true(byte == 'y' || byte == 'n');
                listening += byte == 'y';
        }
        assert_int_equal(can_connect(address), listening > 0);
        assert_int_equal(write(end[1], "12345678", RIVALS), RIVALS);
        for (int i = 0; i < RIVALS; i++)
                assert_int_equal(waitpid(rivals[i], NULL, 0), rivals[i]);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(close(begin[i]), 0);
                assert_int_equal(close(said[i]), 0);
                assert_int_equal(close(end[i]), 0);
        }
        return listening;
}

static void one_of_many(void **state)
{
        struct address address = address_of("contested");

        (void)state;
        leave_stale(&address);
        for (int i = 0; i < ROUNDS; i++) /* each round leaves a stale file */
                assert_int_equal(race(&address), 1);
        assert_int_equal(access("contested.lock", F_OK), -1);
        assert_int_equal(unlink("contested"), 0);
}

static void lock_of_another(void **state)
{
        struct address address = address_of("locked");
        int lock = open("locked.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600), fd = -1;

        (void)state;
        assert_true(lock >= 0);
        assert_int_equal(flock(lock, LOCK_EX), 0);
        assert_int_equal(listen_at(&address, &everyone, &fd), -EADDRINUSE);
        assert_int_equal(close(lock), 0); /* as after a crash */
        assert_int_equal(listen_at(&address, &everyone, &fd), 0);
        assert_int_equal(access("locked.lock", F_OK), -1);
        assert_int_equal(close(fd), 0);
        assert_int_equal(unlink("locked"), 0);
}

/* A file of another program that happens to have the lock's name is left alone. */
static void no_lock_file(void **state)
{
        struct address address = address_of("s");
        int fd = -1;

        (void)state;
        write_text("s.lock", "precious");
        assert_int_equal(listen_at(&address, &everyone, &fd), -EEXIST);
        assert_int_equal(unlink("s.lock"), 0);
        assert_int_equal(symlink("elsewhere", "s.lock"), 0);
        assert_int_equal(listen_at(&address, &everyone, &fd), -ELOOP);
        assert_int_equal(access("elsewhere", F_OK), -1);
        assert_int_equal(unlink("s.lock"), 0);
}

static void expect_access(const char *path, const struct socket_access *expected)
{
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        assert_true(S_ISSOCK(st.st_mode));
        assert_int_equal(st.st_mode & ALLPERMS, expected->mode);
        if (expected->has_group)
                assert_int_equal(st.st_gid, expected->group);
}

static void access_is_as_asked(void **state)
{
        /* Root can use any group, other users only their own. */
        const struct socket_access group = { .mode = 0660,
                                             .group = geteuid() == 0 ? 12345 : getegid(),
                                             .has_group = true };
        const struct socket_access owner = { .mode = 0600 };
        struct address address = address_of("s"), other = address_of("other");
        struct socket_file file;
        mode_t mask = umask(027);
        int fd = -1;

        (void)state;
        assert_int_equal(listen_at(&address, &group, &fd), 0);
        expect_access("s", &group);
        assert_int_equal(socket_file_of(&address, &file), 0);
        assert_int_equal(socket_file_set_access(&file, &address, &owner), 0);
        expect_access("s", &owner);
        assert_int_equal(socket_file_set_access(&file, &address, &everyone), 0);
        expect_access("s", &everyone);

        assert_int_equal(rename("s", "other"), 0);
        assert_true(socket_file_is_at(&file, &other));
        write_text("s", "");
        assert_int_equal(socket_file_set_access(&file, &address, &owner), -ENOENT);
        socket_file_remove(&file, &address);
        assert_int_equal(access("s", F_OK), 0); /* it is another process's file */
        socket_file_remove(&file, &other);
        assert_int_equal(access("other", F_OK), -1);

        assert_int_equal(umask(mask), 027); /* the umask is restored */
        assert_int_equal(close(fd), 0);
        assert_int_equal(unlink("s"), 0);
}

/* A group that this user cannot set leaves no file behind. */
static void access_that_is_denied(void **state)
{
        const struct socket_access group = { .mode = 0660, .group = 12345, .has_group = true };
        struct address address = address_of("s");
        pid_t child;
        int status, fd = -1;

        (void)state;
        assert_int_equal(chmod(test_directory, 0777), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
                        _exit(1);
                _exit(listen_at(&address, &group, &fd) == -EPERM ? 0 : 2);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(access("s", F_OK), -1);
        assert_int_equal(access("s.lock", F_OK), -1);
}

static void groups(void **state)
{
        gid_t group = 1;

        (void)state;
        assert_int_equal(socket_group_find("root", &group), 0);
        assert_int_equal(group, 0);
        assert_int_equal(socket_group_find("4711", &group), 0);
        assert_int_equal(group, 4711);
        assert_int_equal(socket_group_find("4294967294", &group), 0);
        assert_int_equal(socket_group_find("4294967295", &group), -ENOENT);
        assert_int_equal(socket_group_find("no-such-group", &group), -ENOENT);
        assert_int_equal(socket_group_find("", &group), -ENOENT);
        assert_int_equal(socket_group_find("-1", &group), -ENOENT);
        assert_int_equal(group, (gid_t)4294967294);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_of_many),           cmocka_unit_test(lock_of_another),
                cmocka_unit_test(no_lock_file),          cmocka_unit_test(access_is_as_asked),
                cmocka_unit_test(access_that_is_denied), cmocka_unit_test(groups),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}

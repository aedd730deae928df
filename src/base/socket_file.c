/* SPDX-License-Identifier: MIT */
/*
 * A stale file is found by connecting to it, and then replaced. Between these two steps another
 * process could do the same, and one of the two would remove the other's new file. So both steps
 * happen under a lock. The lock is not held any longer, because a connection attempt then shows
 * that the file is in use.
 */
#include "socket_file.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/file.h>

#define LOCK_SUFFIX ".lock"

/* The lock file can be removed between open(2) and flock(2). Then it is created again. */
#define LOCK_TRIES 100

/* Room for a group's entry with all its members. */
#define GROUP_BYTES ((size_t)1 << 20)

struct lock {
        char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + sizeof(LOCK_SUFFIX)];
        int fd;
};

/*
 * Opens or creates the lock file. O_CREAT is not given for a file that exists: in a sticky
 * directory, fs.protected_regular would refuse another user's file (proc(5)).
 */
static int open_lock(const char *path, int *out)
{
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd < 0 && errno == ENOENT)
                fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return errno == EEXIST ? -EAGAIN : -errno;
        *out = fd;
        return 0;
}

/*
 * Checks that the locked file still has its name: the process that held the lock before may have
 * removed it.
 *
 * Return: 0; -EAGAIN: the name is gone or is another file's; -EEXIST: the file is not empty, so it
 * is no lock file.
 */
static int check_lock(const struct lock *lock)
{
        struct stat opened, found;

        if (fstat(lock->fd, &opened) < 0)
                return -errno;
        if (!S_ISREG(opened.st_mode) || opened.st_size > 0)
                return -EEXIST;
        return lstat(lock->path, &found) == 0 && opened.st_dev == found.st_dev &&
                               opened.st_ino == found.st_ino
                       ? 0
                       : -EAGAIN;
}

/* Return: 0; -EAGAIN: try again; -EADDRINUSE: another process holds the lock; what check_lock() and
 * open(2) fail with. */
static int try_lock(struct lock *lock)
{
        int r = open_lock(lock->path, &lock->fd);

        if (r < 0)
                return r;
        if (flock(lock->fd, LOCK_EX | LOCK_NB) < 0)
                r = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
        else
                r = check_lock(lock);
        if (r < 0)
                (void)close(lock->fd);
        return r;
}

static int lock_take(const struct address *address, struct lock *lock)
{
        int r = -EAGAIN;

        (void)snprintf(lock->path, sizeof(lock->path), "%s" LOCK_SUFFIX, address->un.sun_path);
        for (int i = 0; r == -EAGAIN && i < LOCK_TRIES; i++)
                r = try_lock(lock);
        return r == -EAGAIN ? -EADDRINUSE : r;
}

/* Removes the file before unlocking: a process that has opened it then finds that it lost its name,
 * see check_lock(). */
static void lock_give(struct lock *lock)
{
        (void)unlink(lock->path);
        (void)close(lock->fd);
}

/* Removes a unix socket's file if no process listens on it. */
static void remove_stale(const struct address *address)
{
        _cleanup_(closep) int fd = -1;
        struct stat st;

        if (lstat(address->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
                return;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, &address->sa, address->length) < 0 && errno == ECONNREFUSED)
                (void)unlink(address->un.sun_path);
}

/*
 * Sets group and mode of the file that @fd was opened on with O_PATH. The group is set first, so
 * that the mode never lets in the wrong group.
 */
static int set_access(int fd, const struct stat *st, const struct socket_access *access)
{
        char path[64];

        if (access->has_group && st->st_gid != access->group &&
            fchownat(fd, "", (uid_t)-1, access->group, AT_EMPTY_PATH) < 0)
                return -errno;
        if ((st->st_mode & ALLPERMS) == access->mode)
                return 0;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fchmod() refuses O_PATH */
        return chmod(path, access->mode) < 0 ? -errno : 0;
}

/*
 * Sets who may connect to the file at @address. Whoever may write to the directory can swap the
 * file at any time, so it is opened once, checked, and changed through the descriptor.
 *
 * @file: the file that it must be; NULL: one that this process has just created.
 */
static int change_access(const struct address *address, const struct socket_file *file,
                         const struct socket_access *access)
{
        _cleanup_(closep) int fd = open(address->un.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (file && (st.st_dev != file->device || st.st_ino != file->inode))
                return -ENOENT;
        if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1)
                return -EPERM;
        return set_access(fd, &st, access);
}

/*
 * Binds and listens, with the lock held. umask(2) keeps bind(2) from creating the file with a wider
 * mode than @access has. No client can connect before listen(2).
 */
static int bind_and_listen(int fd, const struct address *address,
                           const struct socket_access *access, int backlog)
{
        mode_t mask;
        int r;

        remove_stale(address);
        mask = umask(ACCESSPERMS & ~access->mode);
        r = bind(fd, &address->sa, address->length) < 0 ? -errno : 0;
        (void)umask(mask);
        if (r < 0)
                return r;
        r = change_access(address, NULL, access);
        if (r == 0 && listen(fd, backlog) < 0)
                r = -errno;
        if (r < 0)
                (void)unlink(address->un.sun_path);
        return r;
}

int socket_file_listen(int fd, const struct address *address, const struct socket_access *access,
                       int backlog)
{
        struct lock lock = { .fd = -1 };
        int r = lock_take(address, &lock);

        if (r < 0)
                return r;
        r = bind_and_listen(fd, address, access, backlog);
        lock_give(&lock);
        return r;
}

/* Reads a group's number. (gid_t)-1 is refused: chown(2) takes it for "no change". */
static bool read_number(const char *text, gid_t *group)
{
        size_t n = strlen(text);
        unsigned long long number = strtoull(text, NULL, 10);

        if (n == 0 || n > 10 || strspn(text, "0123456789") != n || number >= UINT32_MAX)
                return false;
        *group = (gid_t)number;
        return true;
}

int socket_group_find(const char *text, gid_t *group)
{
        _cleanup_(freep) char *buffer = malloc(GROUP_BYTES);
        struct group entry, *found = NULL;
        int r;

        if (!buffer)
                return -ENOMEM;
        if (read_number(text, group))
                return 0;
        r = getgrnam_r(text, &entry, buffer, GROUP_BYTES, &found);
        if (r == ENOMEM)
                return -ENOMEM;
        if (r != 0 || !found)
                return -ENOENT;
        *group = found->gr_gid;
        return 0;
}

int socket_file_of(const struct address *address, struct socket_file *file)
{
        struct stat st;

        if (stat(address->un.sun_path, &st) < 0)
                return -errno;
        *file = (struct socket_file){ .device = st.st_dev, .inode = st.st_ino };
        return 0;
}

bool socket_file_is_at(const struct socket_file *file, const struct address *address)
{
        struct socket_file found = { 0 };

        return socket_file_of(address, &found) == 0 && found.device == file->device &&
               found.inode == file->inode;
}

int socket_file_set_access(const struct socket_file *file, const struct address *address,
                           const struct socket_access *access)
{
        return change_access(address, file, access);
}

void socket_file_remove(const struct socket_file *file, const struct address *address)
{
        if (socket_file_is_at(file, address))
                (void)unlink(address->un.sun_path);
}

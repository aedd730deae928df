/* SPDX-License-Identifier: MIT */
/*
 * The file of a unix socket: who may connect, and when the file is replaced or removed.
 *
 * Thread: main, because of umask(2), where nothing else is said.
 */
#pragma once

#include "address.h"
#include <sys/stat.h>

/* Who may connect: whoever may write to the file and search its directory. Plain data. */
struct socket_access {
        mode_t mode; /* permission bits */
        gid_t group; /* if @has_group; otherwise the system chooses */
        bool has_group;
};

static inline bool socket_access_equal(const struct socket_access *a, const struct socket_access *b)
{
        return a->mode == b->mode && a->has_group == b->has_group &&
               (!a->has_group || a->group == b->group);
}

/**
 * socket_group_find() - look up a group by its name, or read its number
 *
 * Thread: any. May block, as getgrnam_r(3) does.
 *
 * Return: 0; -ENOENT: no group has that name; -ENOMEM.
 */
_must_use_ int socket_group_find(const char *text, gid_t *group);

/* The identity of a file. Plain data. */
struct socket_file {
        dev_t device;
        ino_t inode;
};

/**
 * socket_file_listen() - bind a unix socket to a file, and listen
 * @fd: a socket that is not bound
 *
 * Replaces a file on which no process listens any more. When several processes try this at the same
 * time, one succeeds: it holds the lock file "PATH.lock" meanwhile. The file has its group and mode
 * before anybody can connect. On failure, the new file is removed.
 *
 * Return: 0; -EADDRINUSE: a process listens there, or is about to; -EEXIST: "PATH.lock" is not a
 * lock file; what open(2), bind(2), listen(2), chmod(2) or chown(2) fails with.
 */
_must_use_ int socket_file_listen(int fd, const struct address *address,
                                  const struct socket_access *access, int backlog);

/* Gets the identity of the file at @address. Return: 0; what stat(2) fails with. */
_must_use_ int socket_file_of(const struct address *address, struct socket_file *file);

/* Whether the file at @address is still this one. */
bool socket_file_is_at(const struct socket_file *file, const struct address *address);

/**
 * socket_file_set_access() - change who may connect to a socket that listens already
 * Return: 0; -ENOENT: the file at @address is another one; what chmod(2) or chown(2) fails with.
 */
_must_use_ int socket_file_set_access(const struct socket_file *file, const struct address *address,
                                      const struct socket_access *access);

/* Removes the file, if it is still this one. */
void socket_file_remove(const struct socket_file *file, const struct address *address);

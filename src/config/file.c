/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <string.h>

int file_open(const char *path, int *fd, struct stat *st)
{
        /* Without O_NONBLOCK, opening a FIFO would wait for a writer. */
        int opened =
                (int)TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
        int r = 0;

        if (opened < 0)
                return -errno;
        if (fstat(opened, st) < 0)
                r = -errno;
        else if (S_ISDIR(st->st_mode))
                r = -EISDIR;
        else if (!S_ISREG(st->st_mode))
                r = -ENOTSUP;
        if (r < 0)
                closep(&opened);
        else
                *fd = opened;
        return r;
}

int file_read(int fd, size_t max, char **text, size_t *n)
{
        _cleanup_(freep) char *buffer = malloc(max + 1);
        size_t length = 0;

        if (!buffer)
                return -ENOMEM;
        while (length < max) {
                ssize_t got = read(fd, buffer + length, max - length);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                length += (size_t)got;
        }
        buffer[length] = '\0';
        *text = buffer;
        buffer = NULL;
        *n = length;
        return 0;
}

const char *file_error(int error)
{
        return error == -ENOTSUP ? "not a regular file" : strerrordesc_np(-error);
}

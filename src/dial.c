/* Connecting, one address after the other. */
#include "dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>

static int dial_one(const struct address *address, int *out)
{
        _cleanup_(closep) int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int on = 1;

        if (fd < 0 || connect(fd, &address->sa, address->length) < 0 ||
            fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* no such on unix: fine */
        *out = fd;
        fd = -1;
        return 0;
}

int dial(const struct address *addresses, int n, int *fd)
{
        int r = -EINVAL;

        for (int i = 0; i < n && r < 0; i++)
                r = dial_one(&addresses[i], fd);
        return r;
}

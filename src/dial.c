/* Connecting, one address after the other. */
#include "dial.h"
#include "address.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>

#define ADDRESSES_MAX 16

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

int dial(const char *text, int *fd)
{
        struct address addresses[ADDRESSES_MAX];
        int n = address_resolve(text, addresses, ADDRESSES_MAX), r = n;

        for (int i = 0; i < n; i++) {
                r = dial_one(&addresses[i], fd);
                if (r == 0)
                        break;
        }
        return r;
}

/* SPDX-License-Identifier: MIT */
/*
 * The addresses of a name race each other in a poll set. For a unix socket, connect(2) blocks.
 */
#include "dial.h"
#include "loop.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

/* The "Connection Attempt Delay" of RFC 8305, section 8. */
#define ATTEMPT_DELAY_USEC (250 * USEC_PER_MSEC)

static uint64_t left_usec(uint64_t deadline_usec)
{
        uint64_t now = now_usec();

        return deadline_usec > now ? deadline_usec - now : 0;
}

/* Look-up */

struct look_up {
        const char *name;
        struct address addresses[DIAL_ADDRESSES_MAX];
        int result;
        pthread_mutex_t lock;       /* protects @finished */
        pthread_cond_t is_finished; /* signalled when @finished becomes true */
        bool finished;
};

static void *run_look_up(void *arg)
{
        struct look_up *look_up = arg;

        look_up->result = address_resolve(look_up->name, look_up->addresses, DIAL_ADDRESSES_MAX);
        (void)pthread_mutex_lock(&look_up->lock);
        look_up->finished = true;
        (void)pthread_cond_signal(&look_up->is_finished);
        (void)pthread_mutex_unlock(&look_up->lock);
        return NULL;
}

/* Return: whether the look-up has finished before the deadline. */
static bool wait_for_look_up(struct look_up *look_up, uint64_t deadline_usec)
{
        const struct timespec until = { .tv_sec = (time_t)(deadline_usec / USEC_PER_SEC),
                                        .tv_nsec = (long)(deadline_usec % USEC_PER_SEC) * 1000 };
        bool finished;
        int r = 0;

        (void)pthread_mutex_lock(&look_up->lock);
        while (!look_up->finished && r == 0)
                r = pthread_cond_clockwait(&look_up->is_finished, &look_up->lock, CLOCK_MONOTONIC,
                                           &until);
        finished = look_up->finished;
        (void)pthread_mutex_unlock(&look_up->lock);
        return finished;
}

static struct look_up *look_up_free(struct look_up *look_up)
{
        (void)pthread_cond_destroy(&look_up->is_finished);
        (void)pthread_mutex_destroy(&look_up->lock);
        free(look_up);
        return NULL;
}

int dial_look_up(const char *name, uint64_t deadline_usec, struct address *addresses, size_t *n)
{
        struct look_up *look_up = calloc(1, sizeof(*look_up));
        pthread_t thread;
        int r;

        if (!look_up)
                return -ENOMEM;
        look_up->name = name;
        (void)pthread_mutex_init(&look_up->lock, NULL); /* neither can fail on Linux */
        (void)pthread_cond_init(&look_up->is_finished, NULL);
        r = -pthread_create(&thread, NULL, run_look_up, look_up);
        if (r < 0) {
                look_up_free(look_up);
                return r;
        }
        if (!wait_for_look_up(look_up, deadline_usec))
                return -ETIMEDOUT; /* the thread still uses look_up */
        (void)pthread_join(thread, NULL);
        r = look_up->result;
        if (r > 0) {
                *n = (size_t)r;
                memcpy(addresses, look_up->addresses, *n * sizeof(*addresses));
        }
        look_up_free(look_up);
        return r < 0 ? r : 0;
}

/* Unix sockets */

/* Sets how long connect(2) waits for room in the backlog (unix(7)). */
static void set_timeout(int fd, uint64_t deadline_usec)
{
        uint64_t left = left_usec(deadline_usec);
        const struct timeval timeout = loop_timeval(left ? left : 1); /* 0 would be no limit */

        if (deadline_usec != DIAL_NO_DEADLINE)
                (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

static int dial_unix(const struct address *address, uint64_t deadline_usec, int *out)
{
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0)
                return -errno;
        do {
                set_timeout(fd, deadline_usec);
                r = connect(fd, &address->sa, address->length) < 0 ? -errno : 0;
        } while (r == -EINTR && left_usec(deadline_usec) > 0);
        if (r < 0)
                return r == -EAGAIN || r == -EINTR ? -ETIMEDOUT : r;
        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        *out = fd;
        fd = -1;
        return 0;
}

/* IPv4 and IPv6 */

struct race {
        const struct address *order[DIAL_ADDRESSES_MAX];
        size_t n, next; /* the length of @order; the index of the next address to try */
        struct pollfd attempts[DIAL_ADDRESSES_MAX];
        const struct address *addresses[DIAL_ADDRESSES_MAX]; /* of the attempts */
        size_t n_attempts;
        uint64_t next_usec; /* when the next attempt begins, even if others are pending */
        uint64_t deadline_usec;
        int error; /* of the attempt that failed last */
};

/* Alternates the families (RFC 8305, section 4). Each family keeps its order. */
static void interleave(struct race *race, const struct address *addresses, size_t n)
{
        bool taken[DIAL_ADDRESSES_MAX] = { false };

        while (race->n < n) {
                int last = race->n ? race->order[race->n - 1]->sa.sa_family : AF_UNSPEC;
                size_t first = n, other = n; /* the first of all; the first of the other family */

                for (size_t i = n; i-- > 0;)
                        if (!taken[i]) {
                                first = i;
                                other = addresses[i].sa.sa_family != last ? i : other;
                        }
                if (other < n)
                        first = other;
                taken[first] = true;
                race->order[race->n++] = &addresses[first];
        }
}

static int begin_attempt(const struct address *address, int *out)
{
        _cleanup_(closep) int fd =
                socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int on = 1;

        if (fd < 0)
                return -errno;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        /* After EINTR the connection attempt continues (connect(2)). */
        if (connect(fd, &address->sa, address->length) < 0 && errno != EINPROGRESS &&
            errno != EINTR)
                return -errno;
        *out = fd;
        fd = -1;
        return 0;
}

static void try_next(struct race *race)
{
        const struct address *address = race->order[race->next++];
        int fd, r = begin_attempt(address, &fd);

        if (r < 0) {
                race->error = r;
                return;
        }
        race->attempts[race->n_attempts] = (struct pollfd){ .fd = fd, .events = POLLOUT };
        race->addresses[race->n_attempts++] = address;
        race->next_usec = now_usec() + ATTEMPT_DELAY_USEC;
}

/* Return: 0: the attempt is connected; -errno. */
static int result_of(int fd)
{
        int error = 0;
        socklen_t length = sizeof(error);

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
                return -errno;
        /* A refusal is ECONNREFUSED. These errors come from a server that accepted and then reset.
         */
        if (error == ECONNRESET || error == EPIPE)
                return 0;
        return -error;
}

static void drop_attempt(struct race *race, size_t i)
{
        closep(&race->attempts[i].fd);
        race->n_attempts--;
        race->attempts[i] = race->attempts[race->n_attempts];
        race->addresses[i] = race->addresses[race->n_attempts];
}

/* Waits until an attempt ends or the next address is due. */
static void wait_for_attempt(struct race *race)
{
        bool more = race->next < race->n;
        uint64_t until = more && race->next_usec < race->deadline_usec ? race->next_usec
                                                                       : race->deadline_usec;
        const uint64_t left = left_usec(until);
        const struct timespec timeout = { .tv_sec = (time_t)(left / USEC_PER_SEC),
                                          .tv_nsec = (long)(left % USEC_PER_SEC) * 1000 };

        if (ppoll(race->attempts, race->n_attempts, until == DIAL_NO_DEADLINE ? NULL : &timeout,
                  NULL) <= 0)
                for (size_t i = 0; i < race->n_attempts; i++)
                        race->attempts[i].revents = 0; /* undefined when interrupted */
}

/* Handles the attempts that have ended. Return: whether one is connected: @winner. */
static bool find_winner(struct race *race, size_t *winner)
{
        for (size_t i = race->n_attempts; i-- > 0;) {
                int r;

                if (!race->attempts[i].revents)
                        continue;
                r = result_of(race->attempts[i].fd);
                if (r == 0) {
                        *winner = i;
                        return true;
                }
                race->error = r;
                drop_attempt(race, i);
                race->next_usec = now_usec();
        }
        return false;
}

/* Return: 0: attempt @winner is connected; -errno. */
static int run_race(struct race *race, size_t *winner)
{
        while (race->next < race->n || race->n_attempts > 0) {
                if (race->n_attempts > 0) {
                        wait_for_attempt(race);
                        if (find_winner(race, winner))
                                return 0;
                }
                if (left_usec(race->deadline_usec) == 0)
                        return -ETIMEDOUT;
                if (race->next < race->n &&
                    (race->n_attempts == 0 || left_usec(race->next_usec) == 0))
                        try_next(race);
        }
        return race->error;
}

int dial(const struct address *addresses, size_t n, uint64_t deadline_usec, int *fd,
         struct address *reached)
{
        struct race race = { .deadline_usec = deadline_usec, .error = -EINVAL };
        size_t winner = 0;
        int r;

        if (addresses[0].sa.sa_family == AF_UNIX) {
                r = dial_unix(&addresses[0], deadline_usec, fd);
                if (r == 0)
                        *reached = addresses[0];
                return r;
        }
        interleave(&race, addresses, n);
        r = run_race(&race, &winner);
        if (r == 0) {
                *fd = race.attempts[winner].fd;
                *reached = *race.addresses[winner];
                race.attempts[winner].fd = -1;
        }
        while (race.n_attempts > 0)
                drop_attempt(&race, race.n_attempts - 1);
        return r;
}

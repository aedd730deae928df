/* Hops: who is found by its address, with what depth, and when a chain is too long. */
#include "hops.h"
#include "unit.h"

#include <pthread.h>

#define N_THREADS 4
#define N_HOPS    3000

static struct address address_of(const char *text)
{
        struct address address;

        assert_int_equal(address_parse(text, &address), 0);
        return address;
}

/* Where all of them lead, unless a test says otherwise. */
static struct address to;

static void add(struct hops *hops, struct hop *hop, const char *text, unsigned depth)
{
        const struct address local = address_of(text);

        hop->depth = depth;
        hops_add(hops, hop, &local, &to);
}

static unsigned before(struct hops *hops, const char *text)
{
        const struct address peer = address_of(text);

        return hops_before(hops, &peer, &to);
}

static int make_hops(void **state)
{
        struct hops *hops;

        if (hops_new(&hops) < 0)
                return -1;
        *state = hops;
        to = address_of("127.0.0.1:7");
        return 0;
}

static int free_hops(void **state)
{
        *state = hops_free(*state);
        return 0;
}

static void add_and_remove(void **state)
{
        struct hops *hops = *state;
        struct hop one = { 0 }, two = { 0 };

        assert_int_equal(before(hops, "127.0.0.1:40000"), 0);
        add(hops, &one, "127.0.0.1:40000", 1);
        add(hops, &two, "[::1]:40000", 2);
        assert_int_equal(before(hops, "127.0.0.1:40000"), 1);
        assert_int_equal(before(hops, "[::1]:40000"), 2);
        hops_remove(hops, &one);
        assert_int_equal(before(hops, "127.0.0.1:40000"), 0);
        assert_int_equal(before(hops, "[::1]:40000"), 2);
        hops_remove(hops, &one); /* it is gone already */
        add(hops, &one, "127.0.0.1:40001", 3);
        assert_int_equal(before(hops, "127.0.0.1:40001"), 3);
        hops_remove(hops, &one);
        hops_remove(hops, &two);
        assert_int_equal(before(hops, "[::1]:40000"), 0);
}

/* Neither another port, also one of the same bucket, nor another address. */
static void others(void **state)
{
        static const char *const texts[] = {
                "127.0.0.1:40001",       "127.0.0.1:41024", "127.0.0.1:38976",
                "127.0.0.2:40000",       "[::1]:40000",     "[::127.0.0.1]:40000",
                "[::ffff:7f00:2]:40000",
        };
        struct hops *hops = *state;
        struct hop hop = { 0 };

        add(hops, &hop, "127.0.0.1:40000", 1);
        for (size_t i = 0; i < ELEMENTS(texts); i++)
                if (before(hops, texts[i]) != 0)
                        fail_msg("%s is taken for 127.0.0.1:40000", texts[i]);
        hops_remove(hops, &hop);
}

/* Connections to different places may share a local port: those that lead elsewhere are not ours.
 */
static void same_port(void **state)
{
        struct hops *hops = *state;
        struct hop hop = { 0 };

        add(hops, &hop, "127.0.0.1:40000", 1);
        to = address_of("127.0.0.1:8");
        assert_int_equal(before(hops, "127.0.0.1:40000"), 0);
        to = address_of("127.0.0.2:7");
        assert_int_equal(before(hops, "127.0.0.1:40000"), 0);
        hops_remove(hops, &hop);
}

/* Linux takes the unspecified address, dialled, for the host itself (ip(7)). */
static void to_any(void **state)
{
        struct hops *hops = *state;
        struct hop hop = { 0 };

        to = address_of("0.0.0.0:7");
        add(hops, &hop, "127.0.0.1:40000", 1);
        to = address_of("127.0.0.1:7");
        assert_int_equal(before(hops, "127.0.0.1:40000"), 1);
        hops_remove(hops, &hop);
}

/* An IPv4 address is the same on an IPv6 socket, whichever end has that one. */
static void mapped(void **state)
{
        static const char *const texts[] = { "192.0.2.1:1", "[::ffff:192.0.2.1]:1" };
        struct hops *hops = *state;

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                struct hop hop = { 0 };

                add(hops, &hop, texts[i], 7);
                assert_int_equal(before(hops, texts[i]), 7);
                assert_int_equal(before(hops, texts[1 - i]), 7);
                hops_remove(hops, &hop);
                assert_int_equal(before(hops, texts[1 - i]), 0);
        }
}

/* Unix sockets have no address to be known by; and not all that is removed was added. */
static void not_added(void **state)
{
        struct address nameless = { .length = sizeof(sa_family_t), .un.sun_family = AF_UNIX };
        struct hops *hops = *state;
        struct hop hop = { 0 };

        hops_remove(hops, &hop);
        add(hops, &hop, "unix:/a", 1);
        assert_int_equal(before(hops, "unix:/a"), 0);
        assert_int_equal(hops_before(hops, &nameless, &to), 0);
        hops_remove(hops, &hop);
        hops_add(hops, &hop, &nameless, &to);
        hops_remove(hops, &hop);
}

static void limit(void **state)
{
        struct hops *hops = *state;

        for (unsigned n = 0; n < 3; n++) {
                hops_set_limit(hops, n);
                assert_false(hops_exceeds(hops, 0));
                assert_false(hops_exceeds(hops, n));
                assert_true(hops_exceeds(hops, n + 1));
        }
        hops_set_limit(hops, 1); /* a reload may take relays away */
        assert_true(hops_exceeds(hops, 2));
}

/* More than there are buckets, of which every other one goes. */
static void many(void **state)
{
        static struct hop all[N_HOPS];
        struct hops *hops = *state;
        struct address address = address_of("127.0.0.1:0");

        for (unsigned i = 0; i < N_HOPS; i++) {
                address.in.sin_port = htons((uint16_t)(i + 1));
                all[i].depth = i + 1;
                hops_add(hops, &all[i], &address, &to);
        }
        for (unsigned i = 0; i < N_HOPS; i += 2)
                hops_remove(hops, &all[i]);
        for (unsigned i = 0; i < N_HOPS; i++) {
                address.in.sin_port = htons((uint16_t)(i + 1));
                assert_int_equal(hops_before(hops, &address, &to), i % 2 ? i + 1 : 0);
                hops_remove(hops, &all[i]);
        }
}

struct job {
        struct hops *hops;
        unsigned base;
        bool lost;
};

static void *come_and_go(void *arg)
{
        struct address address = address_of("127.0.0.1:0");
        struct job *job = arg;

        for (unsigned i = 1; i <= N_HOPS; i++) {
                struct hop hop = { .depth = i };

                address.in.sin_port = htons((uint16_t)(job->base + i));
                hops_add(job->hops, &hop, &address, &to);
                job->lost |= hops_before(job->hops, &address, &to) != i;
                job->lost |= hops_exceeds(job->hops, 1);
                hops_remove(job->hops, &hop);
                job->lost |= hops_before(job->hops, &address, &to) != 0;
        }
        return NULL;
}

/* Each finds its own, among those of the others in the same buckets. */
static void threads(void **state)
{
        pthread_t thread[N_THREADS];
        struct job jobs[N_THREADS];

        hops_set_limit(*state, 1);
        for (unsigned i = 0; i < N_THREADS; i++) {
                jobs[i] = (struct job){ .hops = *state, .base = 10240 * i };
                assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, &jobs[i]), 0);
        }
        for (unsigned i = 0; i < N_THREADS; i++) {
                assert_int_equal(pthread_join(thread[i], NULL), 0);
                assert_false(jobs[i].lost);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_hops, free_hops)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(add_and_remove), TEST(others), TEST(mapped), TEST(same_port), TEST(to_any),
                TEST(not_added),      TEST(limit),  TEST(many),   TEST(threads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* A service at run time: what its clients share over all workers, and its counters. */
#include "counter.h"
#include "service.h"
#include "timer.h"
#include "unit.h"

#include <pthread.h>

static struct service *service;

static int make(void **state)
{
        (void)state;
        return service_new("echo", 4, &service);
}

static int release(void **state)
{
        (void)state;
        service = service_unref(service);
        return 0;
}

static void references(void **state)
{
        (void)state;
        assert_string_equal(service_name(service), "echo");
        for (size_t i = 0; i < 4; i++)
                assert_ptr_equal(service_shard(service, i)->service, service);
        assert_true(service_is_unused(service));
        assert_ptr_equal(service_ref(service), service);
        assert_false(service_is_unused(service));
        assert_null(service_unref(service));
        assert_true(service_is_unused(service));
        assert_null(service_unref(NULL));
}

static void dialing(void **state)
{
        (void)state;
        assert_true(service_begin_dialing(service, 2));
        assert_true(service_begin_dialing(service, 2));
        assert_false(service_begin_dialing(service, 2));
        assert_true(service_begin_dialing(service, 3)); /* a new limit */
        assert_true(service_begin_dialing(service, 0)); /* no limit */
        service_end_dialing(service);
        assert_false(service_begin_dialing(service, 3));
        service_end_dialing(service);
        assert_true(service_begin_dialing(service, 3));
}

/* Shared buckets */

static struct bucket *take(const char *group, enum direction direction, uint64_t rate,
                           uint64_t burst)
{
        const struct bucket_key key = { group, direction, rate, burst };
        struct bucket *bucket = NULL;

        assert_int_equal(service_take_bucket(service, &key, &bucket), 0);
        return bucket;
}

static void equal_keys(void **state)
{
        struct bucket *one = take("a", TO_CLIENT, 1000, 100),
                      *same = take("a", TO_CLIENT, 1000, 100);
        struct bucket *others[] = {
                take("b", TO_CLIENT, 1000, 100),
                take("a", TO_UPSTREAM, 1000, 100),
                take("a", TO_CLIENT, 1001, 100),
                take("a", TO_CLIENT, 1000, 101),
        };

        (void)state;
        assert_ptr_equal(one, same);
        for (size_t i = 0; i < ELEMENTS(others); i++) {
                assert_ptr_not_equal(others[i], one);
                for (size_t j = 0; j < i; j++)
                        assert_ptr_not_equal(others[i], others[j]);
                bucket_unref(others[i]);
        }
        bucket_unref(one);
        bucket_unref(same);
}

/* A client that comes after all others have left gets no second burst. */
static void empty_buckets_are_kept(void **state)
{
        struct bucket *bucket = take("", TO_CLIENT, 1, 1);
        uint64_t now = now_usec();

        (void)state;
        assert_int_equal(bucket_reserve(bucket, now, 1, 1, 1), now);
        bucket_unref(bucket);
        bucket_unref(take("", TO_UPSTREAM, 1, 1)); /* looks for buckets to free */
        bucket = take("", TO_CLIENT, 1, 1);
        assert_int_equal(bucket_reserve(bucket, now, 1, 1, 1), now + USEC_PER_SEC);
        bucket_unref(bucket);
}

/* The service may be freed first: a shaper holds only its bucket. */
static void buckets_outlive_the_service(void **state)
{
        struct bucket *bucket = take("", TO_CLIENT, 1, 1);
        uint64_t now = now_usec();

        (void)state;
        service = service_unref(service);
        assert_int_equal(bucket_reserve(bucket, now, 1, 1, 1), now);
        bucket_unref(bucket);
}

#define THREADS 4
#define TURNS   2000

static void *take_and_return(void *arg)
{
        const struct bucket_key key = { "", TO_CLIENT, 1000, 100 };

        for (int i = 0; i < TURNS; i++) {
                struct bucket *bucket = NULL;

                if (service_take_bucket(arg, &key, &bucket) == 0 &&
                    service_begin_dialing(arg, THREADS)) {
                        (void)bucket_reserve(bucket, now_usec(), 1, 1000, 100);
                        service_end_dialing(arg);
                }
                bucket_unref(bucket);
                service_unref(service_ref(arg));
        }
        return NULL;
}

static void threads(void **state)
{
        pthread_t list[THREADS];

        (void)state;
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&list[i], NULL, take_and_return, service), 0);
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_join(list[i], NULL), 0);
        assert_true(service_is_unused(service));
        assert_true(service_begin_dialing(service, 1)); /* no client is still counted */
}

/* Counters */

#define COUNTS 200000

static void *count(void *arg)
{
        struct counters *counters = &((struct service_shard *)arg)->counters;

        for (uint64_t i = 0; i < COUNTS; i++) {
                counter_add(&counters->accepted, 1);
                counter_add(&counters->closed[i % REASONS], 1);
                counter_add(&counters->client.received, i);
                counters_count_faults(counters, FAULT_LATENCY | FAULT_DROP);
        }
        return NULL;
}

/* No counter that another thread reads ever goes down, or exceeds the real count. */
static void read_meanwhile(void)
{
        struct counters before = { 0 }, now;

        do {
                service_count(service, &now);
                assert_in_range(now.accepted, before.accepted, THREADS * COUNTS);
                assert_true(now.client.received >= before.client.received);
                assert_true(counters_open(&now) <= THREADS * COUNTS);
                for (size_t i = 0; i < REASONS; i++)
                        assert_true(now.closed[i] >= before.closed[i]);
                before = now;
        } while (now.faults[0] < THREADS * COUNTS);
}

static void counting(void **state)
{
        pthread_t list[THREADS];
        struct counters sum;

        (void)state;
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&list[i], NULL, count, service_shard(service, i)),
                                 0);
        read_meanwhile();
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_join(list[i], NULL), 0);
        for (int i = 0; i < 3; i++)
                service_count_turned_away(service, TURNED_AWAY_LIMIT);
        service_count(service, &sum);
        assert_int_equal(sum.accepted, THREADS * COUNTS);
        assert_int_equal(counters_open(&sum), 0);
        assert_int_equal(sum.client.received, (uint64_t)THREADS * COUNTS * (COUNTS - 1) / 2);
        assert_int_equal(sum.faults[0], THREADS * COUNTS);
        assert_int_equal(sum.faults[1], 0);
        assert_int_equal(sum.faults[7], THREADS * COUNTS);
        assert_int_equal(sum.turned_away[TURNED_AWAY_LIMIT], 3);
        assert_int_equal(sum.turned_away[TURNED_AWAY_ERROR], 0);
        assert_int_equal(sum.upstream.sent, 0);
}

/* Two workers never write to the same cache line. */
static void cache_lines(void **state)
{
        (void)state;
        for (size_t i = 0; i < 4; i++)
                assert_int_equal((uintptr_t)service_shard(service, i) % CACHE_LINE_BYTES, 0);
        assert_true(sizeof(struct service_shard) % CACHE_LINE_BYTES == 0);
}

/* Every counter has a name of its own. */
static void names(void **state)
{
        (void)state;
        for (unsigned i = 0; i < REASONS; i++) {
                assert_true(strlen(reason_text(i)) > 0);
                for (unsigned j = 0; j < i; j++)
                        assert_string_not_equal(reason_name(i), reason_name(j));
        }
        for (unsigned i = 0; i < FAULT_KINDS; i++)
                for (unsigned j = 0; j < i; j++)
                        assert_string_not_equal(conditions_fault_name(i), conditions_fault_name(j));
        for (unsigned i = 0; i < TURNED_AWAY_KINDS; i++)
                for (unsigned j = 0; j < i; j++)
                        assert_string_not_equal(turned_away_name(i), turned_away_name(j));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(references, make, release),
                cmocka_unit_test_setup_teardown(dialing, make, release),
                cmocka_unit_test_setup_teardown(equal_keys, make, release),
                cmocka_unit_test_setup_teardown(empty_buckets_are_kept, make, release),
                cmocka_unit_test_setup_teardown(buckets_outlive_the_service, make, release),
                cmocka_unit_test_setup_teardown(threads, make, release),
                cmocka_unit_test_setup_teardown(counting, make, release),
                cmocka_unit_test_setup_teardown(cache_lines, make, release),
                cmocka_unit_test(names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

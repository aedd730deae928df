/* SPDX-License-Identifier: MIT */
/* The living service: what its clients share over all workers. */
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

static struct bucket *take(const char *group, bool to_client, uint64_t rate, uint64_t burst)
{
        const struct bucket_key key = { group, to_client, rate, burst };
        struct bucket *bucket = NULL;

        assert_int_equal(service_take_bucket(service, &key, &bucket), 0);
        return bucket;
}

static void equal_keys(void **state)
{
        struct bucket *one = take("a", true, 1000, 100), *same = take("a", true, 1000, 100);
        struct bucket *others[] = {
                take("b", true, 1000, 100),
                take("a", false, 1000, 100),
                take("a", true, 1001, 100),
                take("a", true, 1000, 101),
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
        struct bucket *bucket = take("", true, 1, 1);
        uint64_t now = now_usec();

        (void)state;
        assert_int_equal(bucket_reserve(bucket, now, 1, 1, 1), now);
        bucket_unref(bucket);
        bucket_unref(take("", false, 1, 1)); /* looks for buckets to free */
        bucket = take("", true, 1, 1);
        assert_int_equal(bucket_reserve(bucket, now, 1, 1, 1), now + USEC_PER_SEC);
        bucket_unref(bucket);
}

/* The service may go first: a shaper holds its bucket only. */
static void buckets_outlive_the_service(void **state)
{
        struct bucket *bucket = take("", true, 1, 1);
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
        const struct bucket_key key = { "", true, 1000, 100 };

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
        assert_true(service_begin_dialing(service, 1)); /* nobody is counted still */
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

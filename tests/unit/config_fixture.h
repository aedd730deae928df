/* SPDX-License-Identifier: MIT */
/*
 * Common parts of the configuration's tests: the legal values in messages, files with one setting,
 * and one configuration at a time that is loaded from such a file.
 */
#pragma once

#include "config.h"
#include "mistakes.h"

#include <errno.h>

#define LEVELS   "\"error\", \"warning\", \"notice\", \"info\" or \"debug\""
#define BACKENDS "\"auto\", \"epoll\", \"poll\" or \"select\""
#define SPAN     "seconds or a time span such as \"200ms\" or \"1min 30s\", 0 to 365 days"
#define BOOL     "true or false"
#define LIMIT    "a number from 0 to 1000000"
#define MODES    "\"echo\", \"relay\" or \"hub\""
#define BACKLOG  "a number from 1 to 65535"
#define BYTES    "bytes from 1 to \"64K\""
#define SERVICES "a group of at least one service"
#define ADDRESSES                                                                                  \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"*:PORT\", \"unix:/PATH\" or a list of them, PORT 0 " \
        "to 65535"
#define UPSTREAMS                                                                              \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"NAME:PORT\", \"unix:/PATH\" or a list of them, " \
        "PORT 1 to 65535"

#define GROUP "a group { latency = …; }, or a list of up to 64: ( { … }, { … } )"
#define NAME  "a text of 1 to 255 bytes"
#define RATE \
        "bytes a second such as 1000 or \"64K\", to \"1024G\", or \"unlimited\"; 0: nothing moves"
#define SIZE  "bytes such as 1000 or \"64K\", to \"1024G\""
#define BURST SIZE ", or \"auto\""
#define CUT   SIZE ", or \"never\""
#define HOLD  "bytes from 1 to \"1G\""
#define RESET SPAN ", or \"never\""
#define SHARE "a share from 0 to 1"
#define SEED  "a number from 0 to 9223372036854775807, or \"random\""

#define KEEPALIVE      "seconds or a time span such as \"2min\", 0 to 32767 s"
#define USER_TIMEOUT   "seconds or a time span such as \"30s\", 0 to 2147483 s"
#define RECEIVE_BUFFER "bytes such as \"256K\", to \"1G\"; 0: the system's"
#define SEND_BUFFER    "bytes such as \"128K\", to \"1G\"; 0: the system's"
#define STALL_AFTER                                                                        \
        "a time span such as \"2s\", 0 to 365 days, or bytes such as 1000 or \"64K\", to " \
        "\"1024G\", or \"never\""
#define STALL_FOR SPAN ", or \"forever\""

#define YEAR_USEC (365 * 24 * 3600 * USEC_PER_SEC)

/* A configuration with @top as its third line. */
#define TOP(top) "# one\n# two\n" top "\nservices = { echo = { listen = \"127.0.0.1:0\"; }; };\n"

/* A configuration with @more as the fourth line, in its service. */
#define IN_SERVICE(more) \
        "services = {\n  echo = {\n    listen = \"127.0.0.1:0\";\n" more "\n  };\n};\n"

/* The same, with these conditions. */
#define TO_CLIENT(conditions) IN_SERVICE("to_client = { " conditions " };")

static struct config *config; /* the one that was loaded last; NULL: it had mistakes */

static inline int load(const char *path)
{
        forget_mistakes();
        config = config_unref(config);
        return config_load(path, collect_mistake, NULL, &config);
}

static inline int load_text(const char *text)
{
        write_text("conf", text);
        return load("conf");
}

/* Tear-down of a test. */
static inline int release(void **state)
{
        (void)state;
        config = config_unref(config);
        return 0;
}

static inline void expect_legal(const char *text)
{
        int r = load_text(text);

        if (r != 0)
                fail_msg("%d for\n%s\n%s", r, text, mistakes);
        assert_int_equal(n_mistakes, 0);
}

static inline void expect_mistakes(const char *text, const char *expected)
{
        int r = load_text(text);

        if (r != -EINVAL || strcmp(mistakes, expected) != 0) {
                print_error("%d for\n%s\n%sinstead of\n%s\n", r, text, mistakes, expected);
                fail();
        }
        assert_null(config);
}

#define CONFIG_TEST(name) cmocka_unit_test_teardown(name, release)

#define run_config_tests(tests) cmocka_run_group_tests(tests, enter_directory, leave_directory)

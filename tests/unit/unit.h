/* SPDX-License-Identifier: MIT */
/*
 * Common parts of the unit tests: cmocka and the headers that it needs, a directory for the test's
 * files, and seeds to repeat a failure with.
 */
#pragma once

#include "util.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <string.h>
#include <sys/random.h>

/* A wait that takes longer than this fails. */
#define DEADLINE_USEC (20 * USEC_PER_SEC)

/*
 * The directory of the test, which is also the working directory. An absolute path without symbolic
 * links.
 */
static char test_directory[4096];

/* Group set-up: makes the directory and goes there. */
static inline int enter_directory(void **state)
{
        const char *parent = getenv("TMPDIR");

        (void)state;
        (void)snprintf(test_directory, sizeof(test_directory), "%s/unit-XXXXXX",
                       parent ? parent : "/tmp");
        if (!mkdtemp(test_directory) || chdir(test_directory) < 0)
                return -1;
        return getcwd(test_directory, sizeof(test_directory)) ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

/* Group tear-down: removes the directory. */
static inline int leave_directory(void **state)
{
        (void)state;
        if (chdir("/") < 0)
                return -1;
        return nftw(test_directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void write_bytes(const char *path, const void *data, size_t n)
{
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_int_equal(fwrite(data, 1, n, file), n);
        assert_int_equal(fclose(file), 0);
}

static inline void write_text(const char *path, const char *text)
{
        write_bytes(path, text, strlen(text));
}

/* Return: the whole file with a NUL, for the caller to free; NULL: it cannot be read. */
static inline char *read_text(const char *path)
{
        _cleanup_(fclosep) FILE *file = fopen(path, "re");
        char *text = NULL;
        size_t room = 0;
        ssize_t n = file ? getdelim(&text, &room, '\0', file) : 0;

        if (n < 0 && text)
                text[0] = '\0'; /* an empty file */
        return text;
}

/* Return: how many entries a directory has. */
static inline unsigned count_entries(const char *path)
{
        DIR *directory = opendir(path);
        unsigned n = 0;

        assert_non_null(directory);
        while (readdir(directory)) /* NOLINT(concurrency-mt-unsafe): nobody else reads it */
                n++;
        assert_int_equal(closedir(directory), 0);
        return n - 2; /* without . and .. */
}

/* Return: how many descriptors the process has. */
static inline unsigned count_descriptors(void)
{
        return count_entries("/proc/self/fd") - 1; /* without that of the directory */
}

/* Return: how often @word is in @text. */
static inline unsigned count_words(const char *text, const char *word)
{
        unsigned n = 0;

        for (; (text = strstr(text, word)); text += strlen(word))
                n++;
        return n;
}

/*
 * A seed for random(): SEED of the environment, or a new one. It is printed, so that a failure can
 * be repeated.
 */
static inline void seed_random(void)
{
        const char *given = getenv("SEED");
        unsigned seed = 0;

        if (given)
                seed = (unsigned)strtoul(given, NULL, 10);
        else
                assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
        print_message("SEED=%u\n", seed);
        srandom(seed);
}

/* Return: a random number from @min to @max. */
static inline size_t random_between(size_t min, size_t max)
{
        return min + (size_t)random() % (max - min + 1);
}

static inline void fill_random(void *out, size_t n)
{
        for (size_t i = 0; i < n; i++)
                ((uint8_t *)out)[i] = (uint8_t)(random() >> 8);
}

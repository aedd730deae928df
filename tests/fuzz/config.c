/* SPDX-License-Identifier: MIT */
/*
 * Configuration files of any content. The input is the text of a file and, after a form feed, of a
 * second file that the first one can include. Either the configuration is loaded, or at least one
 * mistake is reported, in printable lines.
 */
#include "config.h"
#include "fuzz.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* The files are named by their descriptors. The corpus includes the second one by that name. */
#define FIRST_FD  100
#define SECOND_FD 101
#define FIRST     "/proc/self/fd/100"

static void write_file(int fd, const uint8_t *data, size_t n)
{
        static bool made[SECOND_FD + 1];

        if (!made[fd]) {
                int memory = memfd_create("fuzz", 0);

                MUST(memory >= 0 && dup2(memory, fd) == fd && close(memory) == 0);
                made[fd] = true;
        }
        MUST(ftruncate(fd, 0) == 0);
        MUST(pwrite(fd, data, n, 0) == (ssize_t)n);
}

static void count_mistake(void *arg, const char *file, unsigned line, const char *text)
{
        (void)line;
        ++*(unsigned *)arg;
        MUST(file[0] == '/');
        for (const char *p = text; *p; p++) /* "…" is the one word that is not ASCII */
                MUST(isprint((unsigned char)*p) || (unsigned char)*p >= 0x80);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const uint8_t *feed = memchr(data, '\f', n), *end = data + n;
        _cleanup_(config_unrefp) struct config *config = NULL;
        unsigned mistakes = 0;
        int r;

        write_file(FIRST_FD, data, (size_t)((feed ? feed : end) - data));
        write_file(SECOND_FD, feed ? feed + 1 : end, feed ? (size_t)(end - feed - 1) : 0);
        r = config_load(FIRST, count_mistake, &mistakes, &config);
        MUST(r == 0 || r == -EINVAL);
        MUST((r == 0) == (mistakes == 0) && (r == 0) == (config != NULL));
        for (size_t i = 0; config && i < config->n_services; i++)
                MUST(config_find_service(config, config->services[i]->name) == config->services[i]);
        MUST(!config || config->n_services > 0);
        return 0;
}

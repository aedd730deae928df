/* SPDX-License-Identifier: MIT */
/*
 * The tables of keys agree with the shipped selectd.conf, its manual page and the fuzzer's
 * dictionary.
 */
#include "config.h"
#include "keys.h"
#include "mistakes.h"

#include <ctype.h>

/* The text of a file; free_text() frees it at the end of the test. */
static char *text;

static void read_source(const char *name)
{
        char path[4096];

        (void)snprintf(path, sizeof(path), "%s/%s", SOURCE_DIR, name);
        free(text);
        text = read_text(path);
        assert_non_null(text);
}

static int free_text(void **state)
{
        (void)state;
        free(text);
        text = NULL;
        return 0;
}

/* Calls @check for each key. @check returns whether the key is right. */
static void for_each_key(bool (*check)(const struct key *key))
{
        size_t n_wrong = 0;

        for (size_t i = 0; i < GROUPS; i++) {
                for (size_t j = 0; j < key_groups[i].n; j++) {
                        if (check(&key_groups[i].keys[j]))
                                continue;
                        print_error("%s of %s\n", key_groups[i].keys[j].name, key_groups[i].where);
                        n_wrong++;
                }
        }
        assert_int_equal(n_wrong, 0);
}

/* Whether the line at @line has @words as whole words. */
static bool says(const char *line, const char *words)
{
        size_t end = strcspn(line, "\n"), n = strlen(words);

        for (const char *p = line; (p = strstr(p, words)) && p + n <= line + end; p++)
                if ((p == line || !(isalnum((unsigned char)p[-1]) || p[-1] == '_')) &&
                    !(isalnum((unsigned char)p[n]) || p[n] == '_'))
                        return true;
        return false;
}

static const char *next_line(const char *line)
{
        line = strchr(line, '\n');
        return line && line[1] ? line + 1 : NULL;
}

/* The tables themselves */

static bool is_complete(const struct key *key)
{
        for (size_t i = 0; i < GROUPS; i++) {
                const struct key *found = keys_find(&key_groups[i], key->name);

                if (found && found != key)
                        return false; /* a name has one meaning in all groups */
        }
        return key->read && key->legal && (!key->word || strstr(key->legal, key->word)) &&
               (!key->required || !key->value);
}

static bool needs_one_of_its_group(const struct key *key)
{
        for (size_t i = 0; key->needs && i < GROUPS; i++)
                if (keys_find(&key_groups[i], key->name))
                        return keys_find(&key_groups[i], key->needs) != NULL;
        return true;
}

static void tables(void **state)
{
        (void)state;
        for_each_key(is_complete);
        for_each_key(needs_one_of_its_group);
        assert_null(keys_find(&key_groups[GROUP_TOP], "latency"));
        assert_null(keys_find(&key_groups[GROUP_TOP], ""));
}

/* A file without conditions gives conditions_none. */
static void conditions(void **state)
{
        static const char minimal[] = "services = { a = { listen = \"127.0.0.1:0\"; }; };",
                          with_group[] = "services = { a = { listen = \"127.0.0.1:0\"; "
                                         "to_client = { }; }; };";
        struct config *config;

        (void)state;
        forget_mistakes();
        write_text("conf", minimal);
        assert_int_equal(config_load("conf", collect_mistake, NULL, &config), 0);
        assert_int_equal(config->services[0]->conditions[TO_CLIENT].n, 0);
        assert_int_equal(config->services[0]->conditions[TO_UPSTREAM].n, 0);
        config_unref(config);
        write_text("conf", with_group);
        assert_int_equal(config_load("conf", collect_mistake, NULL, &config), 0);
        assert_int_equal(config->services[0]->conditions[TO_CLIENT].n, 1);
        assert_memory_equal(config->services[0]->conditions[TO_CLIENT].groups, &conditions_none,
                            sizeof(conditions_none));
        config_unref(config);
}

/* Files that must agree with the tables */

/* The file has "KEY = DEFAULT;", or "KEY =" for a group or a key without a default. */
static bool is_in_conf(const struct key *key)
{
        bool exact = key->value && key->value[0] != '(';
        char setting[256];

        (void)snprintf(setting, sizeof(setting), exact ? "%s = %s;" : "%s =", key->name,
                       key->value);
        for (const char *line = text; line; line = next_line(line)) {
                const char *p = line + strspn(line, " #");

                if (strncmp(p, setting, strlen(setting)) == 0)
                        return true;
        }
        return false;
}

static void conf(void **state)
{
        (void)state;
        read_source("conf/selectd.conf");
        for_each_key(is_in_conf);
}

/* The page has a paragraph for the key. */
static bool is_in_page(const struct key *key)
{
        for (const char *line = text; line; line = next_line(line)) {
                const char *head = strncmp(line, ".TP\n", 4) == 0 ? line + 4 : "";

                if (strncmp(head, ".B", 2) == 0 && says(head, key->name))
                        return true;
        }
        return false;
}

static void page(void **state)
{
        (void)state;
        read_source("src/man/selectd.conf.5");
        for_each_key(is_in_page);
}

/* The page's section on reloads names the keys that need a restart, then those of new connections.
 */
static bool is_in_reload_section(const struct key *key)
{
        const char *begin = strstr(text, "\n.SH RELOAD\n"), *end, *restart;
        enum key_reload said = KEY_AT_ONCE;

        assert_non_null(begin);
        begin += strlen("\n.SH RELOAD\n");
        end = strstr(begin, "\n.SH ");
        restart = strstr(begin, "need a restart");
        assert_non_null(end);
        assert_non_null(restart);
        for (const char *line = begin; line < end; line = next_line(line))
                if (strncmp(line, ".B", 2) == 0 && says(line, key->name))
                        said = line < restart ? KEY_RESTART : KEY_NEW_CONNECTIONS;
        return said == key->reload;
}

static void page_on_reloads(void **state)
{
        (void)state;
        read_source("src/man/selectd.conf.5");
        for_each_key(is_in_reload_section);
}

static bool is_in_dictionary(const struct key *key)
{
        char name[64], word[64];
        bool has_name = false, has_word = !key->word;

        (void)snprintf(name, sizeof(name), "\"%s\"\n", key->name);
        (void)snprintf(word, sizeof(word), "\"\\\"%s\\\"\"\n", key->word ? key->word : "");
        for (const char *line = text; line; line = next_line(line)) {
                has_name |= strncmp(line, name, strlen(name)) == 0;
                has_word |= strncmp(line, word, strlen(word)) == 0;
        }
        return has_name && has_word;
}

static void dictionary(void **state)
{
        (void)state;
        read_source("tests/fuzz/config.dict");
        for_each_key(is_in_dictionary);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tables),
                cmocka_unit_test(conditions),
                cmocka_unit_test_teardown(conf, free_text),
                cmocka_unit_test_teardown(page, free_text),
                cmocka_unit_test_teardown(page_on_reloads, free_text),
                cmocka_unit_test_teardown(dictionary, free_text),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}

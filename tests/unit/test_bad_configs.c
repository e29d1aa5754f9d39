/* test_bad_configs.c: three hundred wrong configurations: each is refused with file, line, column
 * and a remedy; the common forty with exactly the words of golden.txt. None crashes. They live in
 * bad_configs/; SL_BAD_CONFIGS_SHOW=1 prints what is said of each.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operators/registry.h"
#include "runtime/config/process.h"

#define REGISTRY (&sl_registry_builtin)

static struct sl_connection main_connection = {.name = "main"};
static const struct sl_process_config process = {.connections = &main_connection,
                                                 .connections_count = 1,
                                                 .memory_bytes = 512ull << 20,
                                                 .max_record_bytes = 1 << 20};

static char *read_file(const char *name)
{
    char path[512];
    FILE *file;
    char *text = calloc(1, 1 << 20);

    (void)snprintf(path, sizeof(path), "%s/tests/unit/bad_configs/%s", SL_SOURCE_DIR, name);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

static int load(bool topology, const char *text, size_t bytes, struct sl_diags *diags)
{
    char path[] = "/tmp/sl_bad_XXXXXX";
    struct sl_process_config *config = NULL;
    struct sl_topology *loaded = NULL;
    int fd = mkstemp(path), status;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, bytes), bytes);
    assert_int_equal(close(fd), 0);
    sl_diags_init(diags);
    status = topology ? sl_topology_load(path, REGISTRY, &process, diags, &loaded)
                      : sl_process_load(path, diags, &config);
    (void)unlink(path);
    assert_null(sl_topology_free(loaded));
    assert_null(sl_process_free(config));
    return status;
}

/* One case; golden NULL: any words will do. 1 when all is as it should be. */
static int check_case(bool topology, const char *name, const char *text, size_t bytes,
                      const char *golden)
{
    struct sl_diags diags;
    int fine = load(topology, text, bytes, &diags) != 0 && diags.errors > 0;
    char found[2048] = "nothing was refused";

    for (uint32_t i = 0; i < diags.count; i++) {
        const struct sl_diag *diag = &diags.items[i];
        fine = fine && diag->line > 0 && diag->column > 0 && diag->text[0] != '\0' &&
               diag->remedy[0] != '\0' && diag->file[0] != '\0';
        if (i == 0)
            (void)snprintf(found, sizeof(found), "%u:%u: %s\n  %s\n", diag->line, diag->column,
                           diag->text, diag->remedy);
    }
    fine = fine && (golden == NULL || strcmp(found, golden) == 0);
    if (!fine)
        print_error("%s:\n%s", name, found);
    if (getenv("SL_BAD_CONFIGS_SHOW") != NULL)
        (void)printf("@@@ %s\n%s", name, found);
    sl_diags_fini(&diags);
    return fine;
}

/* Cuts the file into its cases; golden messages stand behind a line "---". */
static uint32_t check_file(const char *name, bool topology, bool golden)
{
    char *text = read_file(name), *at = strstr(text, "\n=== ");
    uint32_t count = 0, wrong = 0;

    while (at != NULL) {
        char *title = at + 5, *body = strchr(title, '\n'), *next = strstr(title, "\n=== "),
             *expected = NULL;
        assert_non_null(body);
        *body++ = '\0';
        if (next != NULL)
            next[1] = '\0'; /* the body keeps its last line's end */
        if (golden) {
            expected = strstr(body, "\n---\n");
            while (expected != NULL && strstr(expected + 1, "\n---\n") != NULL)
                expected = strstr(expected + 1, "\n---\n");
            assert_non_null(expected);
            expected[1] = '\0';
            expected += 5;
        }
        wrong += !check_case(topology, title, body, strlen(body), expected);
        count++;
        at = next;
    }
    free(text);
    assert_int_equal(wrong, 0);
    return count;
}

static void test_common_mistakes_are_refused_in_these_words(void **state)
{
    (void)state;
    assert_true(check_file("golden.txt", true, true) >= 40);
}

static void test_every_wrong_topology_is_refused_with_place_and_remedy(void **state)
{
    (void)state;
    assert_true(check_file("refused.txt", true, false) >= 160);
}

static void test_every_wrong_process_file_is_refused(void **state)
{
    (void)state;
    assert_true(check_file("process.txt", false, false) >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common_mistakes_are_refused_in_these_words),
        cmocka_unit_test(test_every_wrong_topology_is_refused_with_place_and_remedy),
        cmocka_unit_test(test_every_wrong_process_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

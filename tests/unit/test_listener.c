/* test_listener.c: one socket a name, shared by its owner, kept while asked for, inherited, and refused to others.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/listener.h"

struct place {
    struct sockaddr_in address;
    int opened;
};

static int place_open(void *user, int *ret_fd, struct sl_err *err)
{
    struct place *place = user;
    socklen_t bytes = sizeof(place->address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    place->opened++;
    place->address.sin_family = AF_INET;
    place->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&place->address, bytes) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&place->address, &bytes) != 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "no socket: %s", strerror(errno));
    *ret_fd = fd;
    return 0;
}

static int place_connect(const struct place *place)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = connect(fd, (const struct sockaddr *)&place->address, sizeof(place->address));

    if (status == 0)
        return fd;
    (void)close(fd);
    return -errno;
}

static int place_get(struct place *place, const char *owner, struct sl_err *err)
{
    int fd = -1, status = sl_listener_get("tcp here", owner, place_open, place, &fd, err);

    return status == 0 ? fd : status;
}

static void place_put(int fd)
{
    sl_listener_put("tcp here", fd);
    assert_int_equal(close(fd), 0);
}

static ino_t inode_of(int fd)
{
    struct stat stat;

    assert_int_equal(fstat(fd, &stat), 0);
    return stat.st_ino;
}

static int count_each(void *user, const char *name, int fd)
{
    assert_true(fd >= 0);
    assert_string_equal(name, "tcp here");
    (*(int *)user)++;
    return 0;
}

static int count(void)
{
    int found = 0;

    assert_int_equal(sl_listener_each(count_each, &found), 0);
    return found;
}

static void test_a_second_of_the_same_owner_shares_the_socket(void **state)
{
    struct place place = {.opened = 0};
    struct sl_err err;
    int first = place_get(&place, "a/in", &err), second = place_get(&place, "a/in", &err), fd;

    (void)state;
    assert_true(first >= 0 && second >= 0);
    assert_int_equal(place.opened, 1);
    assert_true(inode_of(first) == inode_of(second));
    assert_true((fcntl(first, F_GETFD) & FD_CLOEXEC) != 0);
    place_put(first);
    fd = place_connect(&place);
    assert_true(fd >= 0);
    (void)close(fd);
    place_put(second);
    assert_int_equal(place_connect(&place), -ECONNREFUSED);
    assert_int_equal(count(), 0);
}

static void test_another_owner_is_refused_as_the_kernel_would(void **state)
{
    struct place place = {.opened = 0};
    struct sl_err err;
    int first = place_get(&place, "a/in", &err);

    (void)state;
    assert_true(first >= 0);
    assert_int_equal(place_get(&place, "b/in", &err), -SL_E_IO);
    assert_int_equal(err.sys, EADDRINUSE);
    assert_non_null(strstr(err.text, "a/in listens there already"));
    place_put(first);
}

static void test_while_keeping_connections_wait_for_the_next_holder(void **state)
{
    struct place place = {.opened = 0};
    struct sl_err err;
    int first = place_get(&place, "a/in", &err), client, next, got;

    (void)state;
    sl_listener_keep(true);
    assert_true(sl_listener_keeping());
    place_put(first);
    client = place_connect(&place);
    assert_true(client >= 0);
    next = place_get(&place, "b/in", &err);
    assert_true(next >= 0);
    assert_int_equal(place.opened, 1);
    got = accept(next, NULL, NULL);
    assert_true(got >= 0);
    sl_listener_keep(false);
    assert_int_equal(count(), 1);
    place_put(next);
    (void)close(got);
    (void)close(client);
    assert_int_equal(place_connect(&place), -ECONNREFUSED);
}

static void test_what_nobody_took_is_closed_when_keeping_ends(void **state)
{
    struct place place = {.opened = 0};
    struct sl_err err;
    int fd;

    (void)state;
    assert_int_equal(place_open(&place, &fd, &err), 0);
    sl_listener_keep(true);
    assert_int_equal(sl_listener_inherit("tcp here", fd, &err), 0);
    assert_int_equal(count(), 1);
    sl_listener_keep(false);
    assert_int_equal(count(), 0);
    assert_int_equal(place_connect(&place), -ECONNREFUSED);
}

static void test_an_inherited_socket_is_found_by_its_name(void **state)
{
    struct place place = {.opened = 0};
    struct sl_err err;
    int fd, mine, twice;

    (void)state;
    assert_int_equal(place_open(&place, &fd, &err), 0);
    twice = dup(fd);
    assert_int_equal(sl_listener_inherit("tcp here", fd, &err), 0);
    assert_int_equal(sl_listener_inherit("tcp here", twice, &err), -SL_E_FORMAT);
    assert_int_equal(fcntl(twice, F_GETFD), -1); /* closed */
    mine = place_get(&place, "a/in", &err);
    assert_true(mine >= 0);
    assert_int_equal(place.opened, 1);
    assert_true(inode_of(mine) == inode_of(fd));
    place_put(mine);
}

static void test_a_free_port_has_no_name(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = 0};
    char text[SL_LISTENER_NAME_BYTES];
    struct place one = {.opened = 0}, two = {.opened = 0};
    struct sl_err err;
    int first, second;

    (void)state;
    assert_string_equal(sl_listener_name("tcp", (struct sockaddr *)&address, text), "");
    address.sin_port = htons(514);
    assert_string_equal(sl_listener_name("udp", (struct sockaddr *)&address, text), "udp 0.0.0.0:514");
    assert_int_equal(sl_listener_get("", "a", place_open, &one, &first, &err), 0);
    assert_int_equal(sl_listener_get("", "a", place_open, &two, &second, &err), 0);
    assert_true(one.address.sin_port != two.address.sin_port);
    sl_listener_put("", first);
    (void)close(first);
    (void)close(second);
    assert_int_equal(count(), 0);
}

static void test_a_failed_open_leaves_nothing(void **state)
{
    struct place place = {.opened = 0}, same;
    struct sl_err err;
    int fd;

    (void)state;
    assert_int_equal(sl_listener_get("", "a", place_open, &place, &fd, &err), 0);
    same = place;
    assert_int_equal(place_get(&same, "b/in", &err), -SL_E_IO);
    assert_int_equal(count(), 0);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_second_of_the_same_owner_shares_the_socket),
        cmocka_unit_test(test_another_owner_is_refused_as_the_kernel_would),
        cmocka_unit_test(test_while_keeping_connections_wait_for_the_next_holder),
        cmocka_unit_test(test_what_nobody_took_is_closed_when_keeping_ends),
        cmocka_unit_test(test_an_inherited_socket_is_found_by_its_name),
        cmocka_unit_test(test_a_free_port_has_no_name),
        cmocka_unit_test(test_a_failed_open_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

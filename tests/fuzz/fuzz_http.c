/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: bytes of a connection -> requests. The input is the stream itself. Up to the first
 * error that loses the way the same requests, and the same sentences, come of it however it is cut;
 * memory stays bounded and goes back when it is idle; after an error the reader works on. Single
 * thread.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/http/http.h"
#include "tests/fuzz/fuzz_check.h"

#define BODY_MAX_SIZE 300u
#define IDLE_MAX_SIZE 2048u
#define INPUT_MAX_SIZE (256u * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What came of a stream, as a hash and in short. */
struct story {
    uint64_t hash;
    unsigned requests_count;
    bool failed;
};

/* FNV-1a, with the length so that pieces cannot shift. */
static void story_add(struct story *story, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    story->hash = (story->hash ^ len) * 0x100000001b3u;
    for (size_t i = 0; i < len; i++)
        story->hash = (story->hash ^ at[i]) * 0x100000001b3u;
}

static void tell_request(struct story *story, const struct http_request *request)
{
    FUZZ_CHECK((unsigned)request->method < HTTP_METHODS_COUNT);
    FUZZ_CHECK(request->path[0] == '/' || request->path[0] == '\0');
    FUZZ_CHECK(strlen(request->path) < HTTP_LINE_MAX_SIZE);
    FUZZ_CHECK((request->body == NULL) == (request->body_len == 0));
    FUZZ_CHECK(request->body_len <= BODY_MAX_SIZE);
    story->requests_count++;
    story_add(story, &request->method, sizeof(request->method));
    story_add(story, request->path, strlen(request->path));
    if (request->body)
        story_add(story, request->body, request->body_len);
}

static void tell_breach(struct http_reader *reader, struct story *story, const struct err *err)
{
    uint32_t minor = 0;

    FUZZ_CHECK(err->code == -EPROTO && err->msg[0] != '\0');
    FUZZ_CHECK(!http_reader_take_continue(reader, &minor));
    story_add(story, err->msg, strlen(err->msg));
    if (http_reader_rest(reader) == HTTP_REST_SKIP)
        return; /* it goes on behind the body, wherever that was cut */
    FUZZ_CHECK(http_reader_memory(reader) <= IDLE_MAX_SIZE);
    story->failed = true;
}

/* All that is there. */
static void take_all(struct http_reader *reader, struct story *story)
{
    struct http_request request;
    struct err err = ERR_INIT;
    uint32_t minor = 0;
    int ret;

    while ((ret = http_reader_next(reader, &request, &err)) != 0) {
        if (ret == 1)
            tell_request(story, &request);
        else
            tell_breach(reader, story, &err);
        if (story->failed)
            return;
    }
    if (http_reader_take_continue(reader, &minor)) {
        FUZZ_CHECK(minor <= 1);
        FUZZ_CHECK(!http_reader_take_continue(reader, &minor));
    }
}

/* Feeds the stream in pieces of 1 to piece_max bytes, their sizes by a generator that starts from
 * piece_max. on_error: go on behind an error, as a connection does. */
static struct story run(const uint8_t *data, size_t size, size_t piece_max, bool on_error)
{
    struct http_reader *reader = NULL;
    struct story story = {.hash = 0xcbf29ce484222325u};
    uint64_t random = piece_max;

    FUZZ_CHECK(http_reader_create(BODY_MAX_SIZE, &reader) == 0);
    while (size > 0 && !story.failed) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t piece = 1 + (size_t)(random >> 33) % piece_max;
        if (piece_max >= INPUT_MAX_SIZE || piece > size)
            piece = size;
        ssize_t taken = http_reader_feed(reader, data, piece);
        FUZZ_CHECK(taken > 0 && (size_t)taken <= piece);
        FUZZ_CHECK(http_reader_memory(reader) <=
                   IDLE_MAX_SIZE + HTTP_HEAD_MAX_SIZE + BODY_MAX_SIZE);
        data += taken;
        size -= (size_t)taken;
        take_all(reader, &story);
        if (on_error)
            story.failed = false;
    }
    /* The rest of a line or of a body, and its path, are all that is left. */
    FUZZ_CHECK(http_reader_memory(reader) <= IDLE_MAX_SIZE + HTTP_HEAD_MAX_SIZE + BODY_MAX_SIZE);
    http_reader_free(reader);
    return story;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7, 100, 1500};

    if (size > INPUT_MAX_SIZE)
        return 0;
    struct story whole = run(data, size, INPUT_MAX_SIZE, false);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct story cut = run(data, size, pieces[i], false);
        FUZZ_CHECK(cut.hash == whole.hash && cut.failed == whole.failed &&
                   cut.requests_count == whole.requests_count);
    }
    (void)run(data, size, 64, true);
    return 0;
}

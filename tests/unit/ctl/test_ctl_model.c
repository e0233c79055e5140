/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random actions in random order against a small model of the phases and the configuration, with a
 * real guest: whether each was allowed, the phase and the whole configuration are compared after
 * every one. Skipped (77) where /dev/kvm cannot be used. Thread: the test's is the vmm thread.
 */
#include <errno.h>

#include "tests/unit/ctl/ctl_fixture.h"

#define EXIT_SKIP 77
#define LIVES_COUNT 125
#define STEPS_COUNT 96 /* of each life: 12,000 in all */
#define DRIVES_COUNT 3
#define PRESSES_MAX 4 /* of Ctrl+Alt+Del, that nobody reads */

static const uint8_t code_spin[] = {0xf3, 0x90, 0xeb, 0xfc}; /* pause; jmp back */
static const char *const drive_ids[DRIVES_COUNT] = {"a", "b", "c"};

struct model_drive {
    const char *id;
    const char *path;
    bool is_root;
};

/* What the VM should be. */
struct model {
    enum ctl_phase phase;
    struct cfg_machine machine;
    bool has_template; /* a custom one */
    const char *kernel;
    struct model_drive drives[DRIVES_COUNT];
    uint32_t drives_count;
    uint32_t presses;
};

static struct {
    struct file kernels[2];
    struct file disks[2];
    uint64_t seed;
} world;

static uint32_t pick(uint32_t count)
{
    world.seed ^= world.seed << 13;
    world.seed ^= world.seed >> 7;
    world.seed ^= world.seed << 17;
    return (uint32_t)(world.seed >> 20) % count;
}

static bool is_pre(const struct model *model)
{
    return model->phase & CTL_PHASES_PRE;
}

/* A boot request was begun. Returns whether its phase allows it. */
static bool latch(struct model *model)
{
    if (model->phase == CTL_PHASE_EMPTY)
        model->phase = CTL_PHASE_CONFIGURED;
    return is_pre(model);
}

/* Each makes an action and says by the model whether it will succeed. */
static bool step_boot_source(struct model *model, struct ctl_action *ret_action)
{
    const char *path = pick(3) ? world.kernels[pick(2)].path : NOWHERE;
    *ret_action = boot_source_action(path);
    bool good = latch(model) && strcmp(path, NOWHERE) != 0;
    if (good)
        model->kernel = path;
    return good;
}

static bool machine_is_good(const struct cfg_machine *machine)
{
    bool even = machine->vcpu_count == 1 || machine->vcpu_count % 2 == 0;
    return machine->vcpu_count > 0 && (!machine->smt || even) && machine->mem_size_mib > 0;
}

static uint64_t pick_mem_mib(void)
{
    static const uint64_t sizes_mib[] = {0, 32, 33, 64};
    return sizes_mib[pick(ARRAY_LEN(sizes_mib))];
}

static bool step_machine_put(struct model *model, struct ctl_action *ret_action)
{
    *ret_action = machine_action((uint8_t)pick(4), pick_mem_mib());
    struct cfg_machine *machine = &ret_action->u.machine;
    machine->smt = pick(2);
    machine->track_dirty_pages = pick(2);
    bool good = latch(model) && machine_is_good(machine);
    if (good) {
        model->machine = *machine;
        model->machine.cpu_template = CFG_TEMPLATE_NONE;
    }
    return good;
}

static bool step_machine_patch(struct model *model, struct ctl_action *ret_action)
{
    struct cfg_machine next = model->machine;
    *ret_action = (struct ctl_action){.kind = CTL_MACHINE_CONFIG_PATCH};
    struct cfg_machine_patch *patch = &ret_action->u.machine_patch;
    patch->has_vcpu_count = pick(2);
    patch->has_mem_size_mib = pick(2);
    patch->has_smt = pick(2);
    patch->machine.vcpu_count = (uint8_t)pick(4);
    patch->machine.mem_size_mib = pick_mem_mib();
    patch->machine.smt = pick(2);
    if (patch->has_vcpu_count)
        next.vcpu_count = patch->machine.vcpu_count;
    if (patch->has_mem_size_mib)
        next.mem_size_mib = patch->machine.mem_size_mib;
    if (patch->has_smt)
        next.smt = patch->machine.smt;
    bool empty = !patch->has_vcpu_count && !patch->has_mem_size_mib && !patch->has_smt;
    bool good = latch(model) && !empty && machine_is_good(&next);
    if (good)
        model->machine = next;
    return good;
}

static bool step_cpu_config(struct model *model, struct ctl_action *ret_action)
{
    *ret_action = (struct ctl_action){.kind = CTL_CPU_CONFIG_PUT};
    bool good = is_pre(model);
    model->has_template |= good;
    return good;
}

static uint32_t model_find(const struct model *model, const char *id)
{
    uint32_t idx = 0;
    while (idx < model->drives_count && strcmp(model->drives[idx].id, id) != 0)
        idx++;
    return idx;
}

static bool has_other_root(const struct model *model, uint32_t idx)
{
    for (uint32_t i = 0; i < model->drives_count; i++)
        if (model->drives[i].is_root && i != idx)
            return true;
    return false;
}

static bool step_drive_put(struct model *model, struct ctl_action *ret_action)
{
    struct model_drive drive = {.id = drive_ids[pick(DRIVES_COUNT)],
                                .path = pick(4) ? world.disks[pick(2)].path : NOWHERE,
                                .is_root = pick(3) == 0};
    uint32_t idx = model_find(model, drive.id);
    *ret_action = drive_action(drive.id, drive.path, drive.is_root);
    if (!latch(model) || strcmp(drive.path, NOWHERE) == 0 ||
        (drive.is_root && has_other_root(model, idx)))
        return false;
    if (idx == model->drives_count)
        model->drives_count++;
    model->drives[idx] = drive;
    if (drive.is_root) {
        model->drives[idx] = model->drives[0];
        model->drives[0] = drive;
    }
    return true;
}

static bool step_drive_patch(struct model *model, struct ctl_action *ret_action)
{
    const char *paths[] = {NULL, NOWHERE, world.disks[0].path, world.disks[1].path};
    const char *path = paths[pick(ARRAY_LEN(paths))];
    uint32_t idx = model_find(model, drive_ids[pick(DRIVES_COUNT)]);
    const char *id = idx < model->drives_count ? model->drives[idx].id : "no";
    bool limits = pick(2);
    *ret_action = drive_patch_action(id, path);
    ret_action->u.drive_patch.rate_limiter =
        (struct cfg_rate_limiter){.present = limits, .ops = {limits, 1 + pick(9), 0, 100}};
    bool good = !is_pre(model) && idx < model->drives_count && (path || limits) &&
                (!path || strcmp(path, NOWHERE) != 0);
    if (good && path)
        model->drives[idx].path = path;
    return good;
}

static bool step_start(struct model *model, struct ctl_action *ret_action)
{
    *ret_action = (struct ctl_action){.kind = CTL_INSTANCE_START};
    bool good = is_pre(model) && model->kernel;
    if (good)
        model->phase = CTL_PHASE_RUNNING;
    return good;
}

static bool step_pause(struct model *model, struct ctl_action *ret_action)
{
    *ret_action = (struct ctl_action){.kind = CTL_PAUSE};
    bool good = !is_pre(model);
    if (good)
        model->phase = CTL_PHASE_PAUSED;
    return good;
}

static bool step_resume(struct model *model, struct ctl_action *ret_action)
{
    *ret_action = (struct ctl_action){.kind = CTL_RESUME};
    bool good = !is_pre(model);
    if (good)
        model->phase = CTL_PHASE_RUNNING;
    return good;
}

static bool step_ctrl_alt_del(struct model *model, struct ctl_action *ret_action)
{
    *ret_action = (struct ctl_action){.kind = CTL_CTRL_ALT_DEL};
    bool good = !is_pre(model) && model->presses < PRESSES_MAX;
    model->presses += good;
    return good;
}

/* What changes nothing that is compared. */
static bool step_other(struct model *model, struct ctl_action *ret_action)
{
    static const struct {
        enum ctl_action_kind kind;
        uint32_t phases; /* in which it succeeds */
    } rows[] = {
        {CTL_VM_CONFIG_GET, CTL_PHASES_ALL},
        {CTL_MACHINE_CONFIG_GET, CTL_PHASES_ALL},
        {CTL_LOGGER_PUT, CTL_PHASES_PRE},
        {CTL_METRICS_PUT, CTL_PHASES_PRE},
        {CTL_SERIAL_PUT, CTL_PHASES_PRE},
        {CTL_METRICS_FLUSH, CTL_PHASES_POST},
        {CTL_MMDS_GET, CTL_PHASES_PRE},
        {CTL_MMDS_PUT, 0},
        {CTL_NIC_PATCH, 0},
        {CTL_DEVICE_DELETE, 0},
        {CTL_SNAPSHOT_CREATE, 0},
        {CTL_SNAPSHOT_LOAD, 0},
        {CTL_EXCLUDED, 0},
    };
    uint32_t idx = pick(ARRAY_LEN(rows));
    *ret_action = (struct ctl_action){.kind = rows[idx].kind};
    if (rows[idx].kind == CTL_EXCLUDED)
        ret_action->u.excluded = (enum ctl_excluded)pick(CTL_EXCLUDED_COUNT);
    if (rows[idx].kind == CTL_SNAPSHOT_CREATE)
        *ret_action = snapshot_create_action(NOWHERE, NOWHERE "2");
    if (rows[idx].kind == CTL_SNAPSHOT_LOAD)
        *ret_action = snapshot_load_action(NOWHERE, NOWHERE);
    return rows[idx].phases & model->phase;
}

static bool step(struct model *model, struct ctl_action *ret_action)
{
    static bool (*const steps[])(struct model * model, struct ctl_action * ret_action) = {
        step_boot_source, step_machine_put, step_machine_patch, step_cpu_config, step_drive_put,
        step_drive_put,   step_drive_patch, step_drive_patch,   step_pause,      step_pause,
        step_resume,      step_resume,      step_ctrl_alt_del,  step_other,      step_other,
    };
    return pick(30) == 0 ? step_start(model, ret_action)
                         : steps[pick(ARRAY_LEN(steps))](model, ret_action);
}

static enum ctl_state state_of(const struct model *model)
{
    if (is_pre(model))
        return CTL_STATE_NOT_STARTED;
    return model->phase == CTL_PHASE_PAUSED ? CTL_STATE_PAUSED : CTL_STATE_RUNNING;
}

static void compare(const struct fixture *fixture, const struct model *model)
{
    const struct cfg_vm *vm = fixture->reply.vm;
    assert_int_equal(fixture->ctl->phase, model->phase);
    assert_int_equal(fixture->state, state_of(model));
    assert_int_equal(vm->machine.vcpu_count, model->machine.vcpu_count);
    assert_int_equal(vm->machine.mem_size_mib, model->machine.mem_size_mib);
    assert_int_equal(vm->machine.smt, model->machine.smt);
    assert_int_equal(vm->machine.track_dirty_pages, model->machine.track_dirty_pages);
    assert_false(vm->machine.has_cpu_template);
    assert_int_equal(vm->has_cpu_template, model->has_template);
    assert_int_equal(vm->boot_source.kernel_image_path != NULL, model->kernel != NULL);
    if (model->kernel)
        assert_string_equal(vm->boot_source.kernel_image_path, model->kernel);
    assert_int_equal(vm->drives_count, model->drives_count);
    for (uint32_t i = 0; i < model->drives_count; i++) {
        assert_string_equal(vm->drives[i].drive_id, model->drives[i].id);
        assert_string_equal(vm->drives[i].path_on_host, model->drives[i].path);
        assert_int_equal(vm->drives[i].is_root_device, model->drives[i].is_root);
    }
    assert_int_equal(fixture->ends_count, 0);
}

static void live(void)
{
    struct fixture fixture;
    struct model model = {.phase = CTL_PHASE_EMPTY};
    fixture_init(&fixture, "/dev/kvm");
    model.machine = fixture.ctl->config->machine;
    for (int i = 0; i < STEPS_COUNT; i++) {
        struct ctl_action action;
        bool good = step(&model, &action);
        enum ctl_action_kind kind = action.kind;
        int rc = carry(&fixture, action);
        if ((rc == 0) != good)
            fail_msg("action %d in phase %u: %s", (int)kind, (unsigned)fixture.ctl->phase,
                     fixture.reply.err.msg);
        compare(&fixture, &model);
        assert_true(loop_turn(fixture.loop, 0) >= 0);
    }
    fixture_done(&fixture);
}

static void test_ctl_do__random_actions__as_the_model(void **state)
{
    (void)state;
    world.seed = 0x9e3779b97f4a7c15;
    world.kernels[0] = kernel_make(code_halt, sizeof(code_halt));
    world.kernels[1] = kernel_make(code_spin, sizeof(code_spin));
    world.disks[0] = file_make(4096);
    world.disks[1] = file_make(65536);
    for (int i = 0; i < LIVES_COUNT; i++)
        live();
    for (int i = 0; i < 2; i++) {
        fd_close(&world.kernels[i].fd);
        fd_close(&world.disks[i].fd);
    }
}

int main(void)
{
    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        (void)fprintf(stderr, "skipped: /dev/kvm cannot be used\n");
        return EXIT_SKIP;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ctl_do__random_actions__as_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

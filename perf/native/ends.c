/* SPDX-License-Identifier: Apache-2.0 */
/* Ends at once: what a jailer becomes when only the jailer counts. Part of perf. */

int main(void)
{
    return 0;
}

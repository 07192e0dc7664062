# shellcheck shell=bash
# Runs every check, keeps the output, and closes with the counts. Fails at the first check that fails.

log=target/test.log
mkdir -p target
: >"$log"
# Nothing may be skipped in a run that claims to be whole.
export E2E_STRICT=${E2E_STRICT:-1}
started=$SECONDS
checks=0
for step in setup lint unit e2e "fuzz --smoke" "bench --test"; do
    read -ra words <<<"$step"
    if ! ./x "${words[@]}" 2>&1 | tee -a "$log"; then
        echo "x: '$step' failed; the whole output is in $log" >&2
        exit 1
    fi
    checks=$((checks + 1))
done

# Rust's own closing lines, and those of the shell tests.
read -r passed failed skipped < <(awk '
    /^test result:/ { for (i = 1; i <= NF; i++) { if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") s += $(i-1) } }
    /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5 }
    /^SKIP / { s++ }
    END { print p + 0, f + 0, s + 0 }' "$log")
printf '\nall %d steps are green after %d s\n' "$checks" $((SECONDS - started))
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] && [ "$skipped" = 0 ]

#!/usr/bin/env bash
# Plants faults in a copy of the sources, one at a time, and requires that the target named finds
# each within 60 seconds. Fails if one is not found, or if a fault does not apply or does not compile.
# That the targets find nothing without a fault is for fuzz/run.sh to show.
#
#     fuzz/mutations.sh [NAME]...
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
copy=$root/target/mutations/source
limit=60

# name | target | file | perl expression that plants the fault; $_ is the whole file
faults=(
    'coefficient|oracle|src/coeffs.rs|s/(mod single \{.*?EXP: .*?from_bits\(0x3e2a_)aa/${1}ba/s'
    'coefficient-f64|oracle|src/coeffs.rs|s/(mod double \{.*?EXP: .*?from_bits\(0x3fc5_5555_)55/${1}45/s'
    'smoothing|oracle|src/kernel.rs|s/splat::<L>\(self\.smoothing\)\.fma\((splat::<L>\(T::HALF\) - t), t\)/splat::<L>(self.smoothing) * ($1) + t/'
    'tail-lane|backends|src/lane/portable.rs|s/(fn store\(self.*?to\.iter_mut\(\)\.zip\(self\.to_array\(\)\))/$1.take(\$width - 2)/s'
    'target-check|contract|src/blocks.rs|s/self\.target\.exceeds_bits\(one\)/false/'
    'merge|sums|src/sum.rs|s/(pub fn merge.*?)\.zip\(&other\.limbs\)/$1.zip(&other.limbs[..LIMBS - 1])/s'
    'bad-index|capi|capi/src/lib.rs|s/bad_index\.write\(index\)/bad_index.write(index + 1)/'
    'excess-flag|capi|capi/src/lib.rs|s/self\.flags & SOFT_BCE_EXCESS != 0/false/'
)

# Times are new, so that cargo builds what differs from the run before.
rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | tar --null -T - -c | tar -x -m -C "$copy"

failed=0
for fault in "${faults[@]}"; do
    IFS='|' read -r name target file expression <<< "$fault"
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    # The fault before this one goes away: the copy gets a new time too.
    [ -z "${previous:-}" ] || cp "$root/$previous" "$copy/$previous"
    previous=$file
    perl -0777 -p -e "$expression" "$root/$file" > "$copy/$file"
    if cmp -s "$root/$file" "$copy/$file"; then
        echo "$name: the fault does not apply to $file"
        failed=1
        continue
    fi
    log=$root/target/mutations/$name.log
    if ! (cd "$copy/fuzz" && cargo +nightly fuzz build --sanitizer none --codegen-units 4 --target-dir "$root/target/mutations/build" "$target") > "$log" 2>&1; then
        echo "$name: does not compile, see $log"
        failed=1
        continue
    fi
    start=$SECONDS
    # A finding ends the run with another status than 0.
    if (cd "$copy/fuzz" && cargo +nightly fuzz run --sanitizer none --codegen-units 4 --target-dir "$root/target/mutations/build" "$target" \
        "$(mktemp -d -p "$root/target/mutations")" seeds/"$target" -- \
        -max_total_time="$limit" -max_len=1024 -len_control=0 -timeout=120) >> "$log" 2>&1; then
        echo "$name: NOT found by $target in $limit s"
        failed=1
    elif grep -q 'panicked at' "$log"; then
        # Not a time-out or lack of memory: the target's own assertion, shown here.
        echo "$name: found by $target after $((SECONDS - start)) s: $(grep -A 1 -m 1 'panicked at' "$log" | tail -n 1 | cut -c -100)"
    else
        echo "$name: $target did not run, see $log"
        failed=1
    fi
done
exit "$failed"

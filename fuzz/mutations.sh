#!/usr/bin/env bash
# Plants faults in a copy of the sources and requires that the target named finds each within 60
# seconds, or LIMIT, where other programs take the cores. Fails if one is not found, or if a fault
# does not apply or does not compile.
# That the targets find nothing without a fault is for fuzz/run.sh to show.
#
#     fuzz/mutations.sh [NAME]...
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/target/mutations
copy=$work/source
limit=${LIMIT:-60}

# name | build | target | file | perl expression that plants the fault; $_ is the whole file
#
# Faults of one build are planted together, since a build takes minutes. No target sees another's:
# what changes all backends alike is nothing to backends, and what Rust does nothing to capi, which
# alone calls through C; contract alone passes bad targets. The finding of oracle names the function,
# since it sees what is planted in shapes.
faults=(
    'coefficient|1|oracle|src/coeffs.rs|s/(mod single \{.*?EXP: .*?from_bits\(0x3e56_)9c/${1}ac/s'
    'coefficient-f64|2|oracle|src/coeffs.rs|s/(mod double \{.*?EXP: .*?from_bits\(0x3fc5_5555_)55/${1}45/s'
    'smoothing|3|oracle|src/kernel.rs|s/let negative = L::select\(upper, smaller, larger\)/let negative = one - positive/'
    'target-check|3|contract|src/walk.rs|s/self\.target\.exceeds_bits\(L::splat\(most\)\)/L::splat(most).exceeds_bits(L::splat(most))/'
    'removed|6|contract|src/walk.rs|s/&& weight != 0\.0//'
    'poison|8|contract|src/bce.rs|s/(fn checked.*?)outputs\.poison\(\);/$1/s'
    'minus-zero|7|backends|src/span_sum.rs|s/select\(other, zero, value\)\.abs\(\)/select(other, zero, value)/'
    'scale|8|backends|src/bce.rs|s/let mut half = if steep/let mut half = if true { None } else if steep/'
    'hidden-overflow|12|backends|src/bce.rs|s/outputs\.gradient\.iter\(\)\.any\(infinite\)/false/'
    'limit|7|contract|src/kernel.rs|s/limit::<L, FULL>\(minus_a, factor, loss\)/limit::<L, FULL>(minus_a, near * below_one, loss)/'
    'saturation|8|sums|src/sum.rs|s/negative != self\.is_negative\(\) \{/false {/'
    'merge|3|sums|src/sum.rs|s/(pub fn merge.*?)\.zip\(&other\.limbs\)/$1.zip(&other.limbs[..LIMBS - 1])/s'
    'bad-index|3|capi|capi/src/lib.rs|s/bad_index\.write\(index\)/bad_index.write(index + 1)/'
    'tail-lane|4|backends|src/lane/portable.rs|s/(fn store\(self.*?to\.iter_mut\(\)\.zip\(self\.vector\(\)\.to_array\(\)\))/$1.take(\$width - 2)/s'
    'odd-bit|5|linear|src/linear/columns.rs|s/of\.or_bits\(W::splat\(f64::from_bits\(1\)\)\)/of/'
    'late-fold|6|linear|src/linear/columns.rs|s/const RUN: usize = 64/const RUN: usize = 256/'
    'class-shift|5|backends|src/shape.rs|s/let at = start % classes\.len\(\);/let at = (start + 1) % classes.len();/'
    'piece-weights|1|backends|src/shape.rs|s/start,\n            weights,\n/start,\n            weights: if start == 0 { weights } else { None },\n/'
    'small-weight|2|backends|src/walk.rs|s/let again = L::select\(again, scale, one\);/let again = one;/'
    'focal-sign|5|contract|src/kernel/general.rs|s/let factor = slope \+ g;/let factor = slope - g;/'
    'divergence|1|contract|src/kernel/general.rs|s/\+ divergence\(r_complement/- divergence(r_complement/'
    'impossible|2|contract|src/kernel/general.rs|s/let log = W::select\(p\.equal\(zero\), infinity, -ln\(p\)\);/let log = -ln(p);/'
    'temperature|5|capi|capi/src/lib.rs|s/if self\.temperature != 0\.0 \{/if self.temperature > 1.0 {/'
    'row-index|6|capi|capi/src/lib.rs|s/\| Error::InvalidRowWeight \{ row: index, \.\. \}//'
    'gram-tile|7|linear|src/linear/gram.rs|s/for column in \(0\.\.row \+ HEIGHT\)/for column in (0..row)/'
    'group-merge|8|linear|src/linear.rs|s/sums\.iter_mut\(\)\.zip\(others\)/sums.iter_mut().zip(others).skip(1)/'
    'undivided|4|oracle|src/kernel/general.rs|s/point\.hessian \/ temperature \/ temperature/point.hessian \/ temperature/'
    'mean-total|6|oracle|src/bce.rs|s/let total = if self\.is_weighted\(\)/let total = if false/'
    'curvature|7|oracle|src/kernel/general.rs|s/g\.fma\(complement - s, h\)/g.fma(s - complement, h)/'
    'teacher|12|oracle|src/kernel/general.rs|s/select_negative\(r \* s_complement, s \* r_complement\)/select_negative(s * r_complement, r * s_complement)/'
    'focal-slope|9|oracle|src/kernel/general.rs|s/let slope = splat::<W>\(self\.general\.exponent\) \* /let slope = /'
    'lost|10|oracle|src/kernel/general.rs|s/lost \/ p_complement \+ ln\(p_complement\)/ln(p_complement)/'
    'row-product|11|oracle|src/shape.rs|s/L::select\(row\.equal\(zero\), zero, product\)/row/'
    'c-stride|7|capi|capi/src/linear.rs|s/if self\.stride == 0 \|\|/if true ||/'
    'c-column-apart|8|capi|capi/src/linear.rs|s/check_apart\(&\[span, column\]\)\?;//'
    'c-bad-column|9|capi|capi/src/linear.rs|s/bad_column\.write\(column\)/bad_column.write(column + 1)/'
    'c-scratch|10|capi|capi/src/linear.rs|s/\.saturating_add\(of_states\)//'
    'mixed-scales|10|linear|src/linear.rs|s/sum\.factor_exponent\(\) == factor\n\s*&& //'
    'head-bound|9|linear|src/bce.rs|s/let gradient = largest \/ temperature;/let gradient = largest;/'
    'head-temperature|11|linear|src/linear.rs|s/(let options = self\.bce\.options\(\)\?;\s*self\.bce)(\s*\.run_part\(z\.len\(\))/$1.temperature(T::ONE)$2/'
    'head-teacher|12|linear|src/linear.rs|s/let t = self\.bce\.targets\(/let t = crate::walk::Targets::Each(/'
    'excess-flag|4|capi|capi/src/lib.rs|s/self\.flags & SOFT_BCE_EXCESS != 0/false/'
)

# Times are new, so that cargo builds what differs from the run before.
fresh_copy() {
    rm -rf "$copy"
    mkdir -p "$copy"
    git ls-files -z --cached --others --exclude-standard | tar --null -T - -c | tar -x -m -C "$copy"
    # Without the backends of AVX2 and AVX-512, which are most of the build: the faults are not in them.
    perl -pi -e 's/#\[cfg\(any\(target_arch = "x86", target_arch = "x86_64"\)\)\]/#[cfg(any())]/' "$copy/src/dispatch.rs"
    [ "$(grep -c 'cfg(any())' "$copy/src/dispatch.rs")" -ge 2 ]
}

fuzz() { (cd "$copy/fuzz" && cargo +nightly fuzz "$1" --sanitizer none --codegen-units 4 --target-dir "$work/build" "${@:2}"); }

failed=0
for build in {1..12}; do
    planted=()
    for fault in "${faults[@]}"; do
        IFS='|' read -r name number target file expression <<< "$fault"
        if [ "$number" -ne "$build" ] || { [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; }; then
            continue
        fi
        [ ${#planted[@]} -gt 0 ] || fresh_copy
        before=$(cksum < "$copy/$file")
        perl -0777 -pi -e "$expression" "$copy/$file"
        if [ "$before" = "$(cksum < "$copy/$file")" ]; then
            echo "$name: the fault does not apply to $file"
            failed=1
            continue
        fi
        planted+=("$name|$target")
    done
    for fault in "${planted[@]}"; do
        IFS='|' read -r name target <<< "$fault"
        log=$work/$name.log
        if ! fuzz build "$target" > "$log" 2>&1; then
            echo "$name: does not compile, see $log"
            failed=1
            continue
        fi
        start=$SECONDS
        # A finding ends the run with another status than 0.
        if fuzz run "$target" "$(mktemp -d -p "$work")" seeds/"$target" -- \
            -max_total_time="$limit" -max_len=1024 -len_control=0 -timeout=120 >> "$log" 2>&1; then
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
done
exit "$failed"

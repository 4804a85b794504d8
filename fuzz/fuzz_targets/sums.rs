//! LossSum: any partition and merge order gives the same bytes; bytes are accepted only if they are
//! what `to_bytes` writes.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use soft_bce::LossSum;

#[derive(Arbitrary, Debug)]
struct Input {
    values: Vec<(f64, u8)>,
    bytes: Vec<u8>,
    flips: Vec<(u16, u8)>,
}

fuzz_target!(|input: Input| {
    let mut whole = LossSum::new();
    let mut parts: [LossSum; 4] = Default::default();
    for &(value, part) in &input.values {
        whole.add(value);
        parts[usize::from(part % 4)].add(value);
    }
    let [a, mut b, c, mut d] = parts;
    d.merge(&a);
    b.merge(&c);
    d.merge(&b);
    assert_eq!(d.to_bytes(), whole.to_bytes());

    let sum = whole.to_f64();
    if let [(value, _)] = input.values[..] {
        assert!(sum == value || (sum.is_nan() && value.is_nan()));
    }
    let mut bytes = whole.to_bytes();
    assert_eq!(LossSum::from_bytes(&bytes).unwrap(), whole);
    for &(at, flip) in &input.flips {
        bytes[usize::from(at) % LossSum::BYTES] ^= flip;
    }
    for bytes in [&bytes[..], &input.bytes] {
        if let Ok(read) = LossSum::from_bytes(bytes) {
            assert_eq!(read.to_bytes(), bytes);
        }
    }
});

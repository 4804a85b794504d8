//! A sum over chunks, each in a thread of its own: the bits are those of one call on everything,
//! however the data are cut and in whichever order the parts are merged.
//!
//!     cargo run --example chunks

use soft_bce::{Bce, Error, LossSum};

/// What a chunk sends: 288 bytes, to a file or another machine if need be.
fn of_chunk(z: &[f32], t: &[f32]) -> Result<[u8; LossSum::BYTES], Error> {
    let mut sum = LossSum::new();
    Bce::new().accumulate(z, t, &mut sum)?;
    Ok(sum.to_bytes())
}

fn main() -> Result<(), Error> {
    let z: Vec<f32> = (0..100_000)
        .map(|i: u64| (i * 7919 % 1000) as f32 / 50.0 - 10.0)
        .collect();
    let t: Vec<f32> = (0..100_000)
        .map(|i: u64| (i * 104_729 % 1009) as f32 / 1008.0)
        .collect();
    let whole = Bce::new().sum(&z, &t)?;
    println!("in one call:       {whole:?}");
    for size in [1009, 33_333, 65_536] {
        let parts = std::thread::scope(|scope| {
            let threads: Vec<_> = (z.chunks(size).zip(t.chunks(size)))
                .map(|(z, t)| scope.spawn(|| of_chunk(z, t)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.collect::<Result<Vec<_>, Error>>()
        })?;
        let mut total = LossSum::new();
        for part in parts.iter().rev() {
            total.merge(&LossSum::from_bytes(part)?);
        }
        println!("in chunks of {size:5}: {:?}", total.to_f64());
        assert_eq!(total.to_f64().to_bits(), whole.to_bits());
    }
    Ok(())
}

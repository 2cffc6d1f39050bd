//! The targets without libFuzzer: all of the corpus, and changes of it for some seconds. Runs on any toolchain.
//! `FUZZ_SECONDS` says how long each target runs.

use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn corpus_and_changes_of_it() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    for (name, target) in pilothouse_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let seeds: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        assert!(!seeds.is_empty(), "{name} has no corpus");
        seeds.iter().for_each(|seed| target(seed));
        let (start, mut random, mut runs) = (Instant::now(), Random(0x9e37_79b9_7f4a_7c15), 0u64);
        while start.elapsed() < Duration::from_secs(seconds) {
            let input = random.changed(&seeds);
            let begun = Instant::now();
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{name} panics at {input:?}");
            assert!(begun.elapsed() < Duration::from_secs(2), "{name} takes {:?} for {input:?}", begun.elapsed());
            runs += 1;
        }
        println!("{name}: {runs} runs");
    }
}

/// xorshift: the same inputs in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn changed(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            let at = self.below(input.len() + 1);
            match self.below(5) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 => input.insert(at, self.below(256) as u8),
                2 if at < input.len() => drop(input.remove(at)),
                3 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    let piece = other[from..(from + self.below(16)).min(other.len())].to_vec();
                    input.splice(at..at, piece);
                }
                _ => input.extend((0..self.below(40)).map(|_| 0).collect::<Vec<u8>>()),
            }
        }
        // Bytes without any form, now and then.
        if self.below(4) == 0 {
            input = (0..self.below(300)).map(|_| self.below(256) as u8).collect();
        }
        input
    }
}

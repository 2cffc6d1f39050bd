//! The watch cache over the twin in memory.

mod cache;
mod common;
mod outage;
mod random;

//! What must hold of objects beyond their schemas, in the rules and words of upstream's validation: names, metadata and
//! the types of pods. What holds of one kind alone is in its strategy.

mod affinity;
pub mod amount;
pub mod checks;
mod container;
pub mod cron;
mod env;
mod ephemeral;
pub mod meta;
pub mod names;
pub mod pod;
mod probe;
mod resources;
mod security;
mod volume;

pub use affinity::{EFFECTS, label_selector, tolerations};
pub use resources::amounts;

//! Nodes: the ranges of their pods' addresses, and what happens when they fall silent.
pub mod cidr;
pub mod eviction;
pub mod health;
pub mod ipam;
pub mod lifecycle;

//! The commands, one file each, and what several of them share.

pub mod annotate;
pub mod api_resources;
pub mod api_versions;
pub mod apply;
pub mod cluster_info;
pub mod config;
pub mod create;
pub mod delete;
pub mod describe;
pub mod explain;
pub mod get;
pub mod label;
pub mod logs;
mod metadata;
pub mod patch;
mod report;
pub mod scale;
pub mod version;
pub mod wait;

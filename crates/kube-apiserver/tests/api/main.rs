//! kube-apiserver's REST in one process, on the store's twin in memory.

mod admission;
mod apply;
mod audit;
mod common;
mod components;
mod conformance;
mod hostile;
mod limits;
mod metrics;
mod openapi;
mod others;
mod parts;
mod policies;
mod protobuf;
mod reviews;
mod samples;
mod tokens;
mod users;
mod verbs;
mod versions;
mod walkthroughs;

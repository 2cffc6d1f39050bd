//! The node agent: keeps the containers of this node as the API says. `main` wires; everything else is here, so that tests
//! and hollow nodes can run a kubelet within their own process.

pub mod api_cluster;
pub mod cleanup;
pub mod cluster;
pub mod environment;
pub mod images;
pub mod names;
pub mod node;
pub mod options;
pub mod pod;
pub mod pods;
pub mod probe;
pub mod runtime;
pub mod server;
pub mod settings;
pub mod volumes;
pub mod worker;

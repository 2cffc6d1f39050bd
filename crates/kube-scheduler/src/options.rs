//! The command line.
use std::net::IpAddr;

use clap::Parser;
use client::{ClientFlags, LeaderFlags};
use daemon::{CommonFlags, flags::ListenFlag};

/// Chooses a node for each pod.
#[derive(Debug, Parser)]
#[command(name = "kube-scheduler")]
pub struct Options {
    #[command(flatten)]
    pub common: CommonFlags,
    #[command(flatten)]
    pub client: ClientFlags,
    #[command(flatten)]
    pub leader: LeaderFlags,
    /// Pods that name this scheduler are placed by it
    #[arg(long, value_name = "NAME", default_value = "default-scheduler")]
    pub scheduler_name: String,
    /// Address of the listener for health, metrics and decisions, which has no authentication
    #[arg(long, visible_alias = "bind-address", value_name = "IP", default_value = "127.0.0.1")]
    pub address: IpAddr,
    /// Port of that listener; 0 for none
    #[arg(long, visible_alias = "secure-port", value_name = "PORT", default_value_t = 10251)]
    pub port: u16,
}

impl Options {
    pub fn listen(&self) -> ListenFlag {
        ListenFlag::new("port", self.address, self.port)
    }
}

//! Writes the condition `PodScheduled=False` of pods that no node could take.
use client::{Client, Patch};
use daemon::LogOnce;
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Pod as ApiPod, apimachinery::pkg::apis::meta::v1::Time};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::Pod;

/// So many may wait; a report that finds no room is made again by the next attempt.
const QUEUE: usize = 1024;

struct Report {
    namespace: String,
    name: String,
    uid: String,
    message: String,
}

#[derive(Clone)]
pub struct Unscheduled(mpsc::Sender<Report>);

pub struct Reporting {
    client: Client,
    reports: mpsc::Receiver<Report>,
}

impl Unscheduled {
    /// The second value must be run.
    pub fn new(client: &Client) -> (Self, Reporting) {
        let (sender, reports) = mpsc::channel(QUEUE);
        (Self(sender), Reporting { client: client.clone(), reports })
    }

    /// Says so on the pod, unless it is said already.
    pub fn report(&self, pod: &Pod, message: &str) {
        if pod.unscheduled_message.as_deref() == Some(message) {
            return;
        }
        let report = Report {
            namespace: pod.namespace().to_owned(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.uid().to_owned(),
            message: message.to_owned(),
        };
        if let Err(error) = self.0.try_send(report) {
            tracing::debug!("the condition of a pod is not reported: {error}");
        }
    }
}

impl Reporting {
    pub async fn run(mut self, token: CancellationToken) {
        let log = LogOnce::new();
        loop {
            let report = tokio::select! {
                _ = token.cancelled() => return,
                report = self.reports.recv() => report,
            };
            let Some(Report { namespace, name, uid, message }) = report else { return token.cancelled().await };
            let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": message, "lastProbeTime": null, "lastTransitionTime": Time(Timestamp::now())});
            let patch = json!({"metadata": {"uid": uid}, "status": {"phase": "Pending", "conditions": [condition]}});
            match self.client.patch::<ApiPod>(&namespace, &name, Patch::Strategic, &patch, "status").await {
                Ok(_) => {
                    log.over("conditions of pods are written again");
                }
                // Gone, or another of the same name by now.
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => {
                    log.trouble(format_args!("the condition of a pod can't be written: {error}"));
                }
            }
        }
    }
}

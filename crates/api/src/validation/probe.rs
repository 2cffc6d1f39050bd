//! The rules for probes and lifecycle handlers.

use k8s_openapi::api::core::v1::{ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::checks::{NOT_NEGATIVE, port_number, required, supported};
use super::names;
use crate::field::{Errors, Path};

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Liveness,
    Readiness,
    Startup,
}

/// Of several handlers the first one is checked, and all others are one too many.
#[derive(Default)]
struct Handlers(usize);

impl Handlers {
    fn check<T>(
        &mut self,
        handler: &Option<T>,
        path: &Path<'_>,
        errors: &mut Errors,
        check: fn(&T, &Path<'_>, &mut Errors),
    ) {
        let Some(handler) = handler else { return };
        if self.0 > 0 {
            errors.forbidden(path, "may not specify more than 1 handler type");
        } else {
            check(handler, path, errors);
        }
        self.0 += 1;
    }

    fn finish(self, path: &Path<'_>, errors: &mut Errors) {
        if self.0 == 0 {
            errors.required(path, "must specify a handler type");
        }
    }
}

pub fn validate(probe: &Probe, kind: Kind, path: &Path<'_>, errors: &mut Errors) {
    let mut handlers = Handlers::default();
    handlers.check(&probe.exec, &path.child("exec"), errors, exec);
    handlers.check(&probe.http_get, &path.child("httpGet"), errors, http);
    handlers.check(&probe.tcp_socket, &path.child("tcpSocket"), errors, tcp);
    handlers.check(&probe.grpc, &path.child("grpc"), errors, |grpc, path, errors| {
        port_number(grpc.port, &path.child("port"), errors);
    });
    handlers.finish(path, errors);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        if let Some(value) = value.filter(|value| *value < 0) {
            errors.invalid(&path.child(field), value, NOT_NEGATIVE);
        }
    }
    if let Some(seconds) = probe.termination_grace_period_seconds {
        let path = path.child("terminationGracePeriodSeconds");
        if kind == Kind::Readiness {
            errors.invalid(&path, seconds, "must not be set for readinessProbes");
        } else if seconds <= 0 {
            errors.invalid(&path, seconds, "must be greater than 0");
        } else {
            super::checks::seconds(Some(seconds), &path, errors);
        }
    }
    if kind != Kind::Readiness && probe.success_threshold.is_some_and(|n| n != 1) {
        errors.invalid(&path.child("successThreshold"), probe.success_threshold, "must be 1");
    }
}

/// `grace`: the pod's own grace period, which a sleep must not exceed.
pub fn lifecycle(lifecycle: &Lifecycle, grace: i64, path: &Path<'_>, errors: &mut Errors) {
    for (field, handler) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if let Some(handler) = handler {
            lifecycle_handler(handler, grace, &path.child(field), errors);
        }
    }
}

fn lifecycle_handler(handler: &LifecycleHandler, grace: i64, path: &Path<'_>, errors: &mut Errors) {
    let mut handlers = Handlers::default();
    handlers.check(&handler.exec, &path.child("exec"), errors, exec);
    handlers.check(&handler.http_get, &path.child("httpGet"), errors, http);
    handlers.check(&handler.tcp_socket, &path.child("tcpSocket"), errors, tcp);
    handlers.check(&handler.sleep, &path.child("sleep"), errors, |_, _, _| {});
    if let Some(sleep) = &handler.sleep
        && !(0..=grace).contains(&sleep.seconds)
    {
        let why = format!("invalid value: must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.invalid(&path.child("sleep"), sleep.seconds, why);
    }
    handlers.finish(path, errors);
}

fn exec(exec: &ExecAction, path: &Path<'_>, errors: &mut Errors) {
    if exec.command.as_deref().unwrap_or_default().is_empty() {
        errors.required(&path.child("command"), "");
    }
}

fn tcp(tcp: &TCPSocketAction, path: &Path<'_>, errors: &mut Errors) {
    port(&tcp.port, &path.child("port"), errors);
}

fn http(http: &HTTPGetAction, path: &Path<'_>, errors: &mut Errors) {
    required(http.path.as_deref().unwrap_or(""), &path.child("path"), errors);
    port(&http.port, &path.child("port"), errors);
    supported(http.scheme.as_deref().unwrap_or("HTTP"), &["HTTP", "HTTPS"], &path.child("scheme"), errors);
    for header in http.http_headers.iter().flatten() {
        let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if header.name.is_empty() || !header.name.bytes().all(token) {
            errors.invalid(
                &path.child("httpHeaders"),
                header.name.as_str(),
                "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for \
                 validation is '[-A-Za-z0-9]+')",
            );
        }
    }
}

/// A number, or the name of one of the container's ports.
pub fn port(value: &IntOrString, path: &Path<'_>, errors: &mut Errors) {
    match value {
        IntOrString::Int(port) => port_number(*port, path, errors),
        IntOrString::String(name) => errors.extend(path, name, names::port_name(name)),
    }
}

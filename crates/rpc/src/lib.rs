//! The gRPC services of `proto/`, as generated code: clients and servers, and no behaviour.

/// What the daemons ask of kube-apiserver.
pub mod resource {
    tonic::include_proto!("pilothouse.resource.v1");
}

/// What kube-apiserver asks of a kubelet.
pub mod kubelet {
    tonic::include_proto!("pilothouse.kubelet.v1");
}

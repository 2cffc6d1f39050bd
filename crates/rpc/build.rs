fn main() -> Result<(), Box<dyn std::error::Error>> {
    for name in ["resource", "kubelet"] {
        let file = format!("../../proto/{name}.proto");
        println!("cargo::rerun-if-changed={file}");
        tonic_prost_build::configure().bytes(".").compile_protos(&[file.as_str()], &["../../proto"])?;
    }
    Ok(())
}

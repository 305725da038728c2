//! Writes a GGUF again with every tensor as F32, so that other programs compute without rounding
//! their inputs: `widen MODEL.gguf OUT.gguf`. Holds the whole of it in memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use model::Weights;
use model::gguf::{Value, Writer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = args.as_slice() else { return Err("usage: widen MODEL.gguf OUT.gguf".into()) };
    let weights = Weights::open(Path::new(from))?;
    let metadata = weights.gguf_metadata().ok_or("only a GGUF is written again")?;
    let mut out = Writer::default();
    for (key, value) in metadata.iter().filter(|(key, _)| !key.starts_with("split.")) {
        let all_f32 = key == "general.file_type";
        out.set(key, if all_f32 { Value::U32(0) } else { value.clone() });
    }
    for (name, tensor) in weights.tensors() {
        let format = tensor.element.format.ok_or_else(|| format!("{name} has no floats"))?;
        let mut values = Vec::with_capacity(tensor.elements() as usize);
        let (_, width) = tensor.rows();
        weights.read_rows(tensor, |_, bytes| {
            let rows = bytes.len() / tensor.row_bytes() as usize;
            let begin = values.len();
            values.resize(begin + rows * width, 0.0);
            format.dequantize(bytes, &mut values[begin..]);
        })?;
        out.tensor(name, &tensor.shape, values);
    }
    let mut file = BufWriter::new(File::create(to)?);
    out.write_to(&mut file)?;
    file.flush()?;
    Ok(())
}

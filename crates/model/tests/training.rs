//! Training and writing models of every family: gradients against PyTorch (`oracle/families.py`
//! and `oracle/family_gradients.py` make the files), and files that come back with the same bits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernel::{AdamW, Isa, Kernel};
use model::decoder::{Biases, Family, Layer, Rotary, Scaling, Sizes};
use model::families::write;
use model::{Decoder, Model, Optimizer, Parameters, Plan, Session, Trainer, Weights, safetensors};

/// Largest difference of a gradient's norm, or of one of its elements to its root mean square.
const TOLERANCE: f64 = 2e-4;

fn folders() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families");
    let entries =
        fs::read_dir(all).expect("committed").map(|entry| entry.expect("readable").path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert_eq!(folders.len(), 15);
    folders
}

fn name(folder: &Path) -> String {
    folder.file_name().expect("named").to_string_lossy().into_owned()
}

fn parameters(path: &Path) -> Parameters {
    let weights = Weights::open(path).expect("readable");
    Plan::new(&weights).expect("complete").parameters().expect("floats")
}

fn tokens(folder: &Path) -> Vec<u32> {
    let bytes = fs::read(folder.join("golden.safetensors")).expect("committed");
    let file = safetensors::parse(&bytes).expect("valid");
    let ids = file.tensors()["tokens"].bytes;
    ids.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Gradient of the mean loss, under the names of the family's files.
fn gradients(model: &Parameters, tokens: &[u32]) -> (f64, BTreeMap<String, Vec<f32>>) {
    let kernel = Kernel::new(Isa::best(), 2);
    let mut trainer = Trainer::new(model.decoder()).expect("valid");
    let (seq, mut grads) = (tokens.len() - 1, vec![0.0; model.values().len()]);
    let loss = trainer
        .loss_and_gradient(&kernel, model.values(), tokens, 1, seq, &mut grads)
        .expect("finite");
    // Norms that are stored less one have the same gradients: written as weights they lose the one.
    let gemma = model.decoder().family.to_string().starts_with("gemma");
    let grads = Parameters::new(model.decoder(), grads).expect("as many");
    let (_, written) = write::hugging_face(&grads).expect("the family's own");
    let named = written.into_iter().map(|tensor| {
        let mut values = tensor.values.into_owned();
        if gemma && tensor.shape.len() == 1 {
            values.iter_mut().for_each(|x| *x += 1.0);
        }
        (tensor.name, values)
    });
    (loss / seq as f64, named.collect())
}

#[test]
fn gradients_of_every_family_agree_with_pytorch() {
    for folder in folders() {
        let (case, model) = (name(&folder), parameters(&folder));
        let (loss, ours) = gradients(&model, &tokens(&folder));
        let bytes = fs::read(folder.join("gradients.safetensors")).expect("committed");
        let file = safetensors::parse(&bytes).expect("valid");
        let theirs: f64 = file.metadata()["loss"].parse().expect("a number");
        assert!((loss - theirs).abs() < 2e-5, "{case}: {loss} {theirs}");
        let norms: BTreeMap<String, f64> =
            serde_json::from_str(&file.metadata()["norms"]).expect("JSON");
        assert_eq!(ours.keys().collect::<Vec<_>>(), norms.keys().collect::<Vec<_>>(), "{case}");
        for (name, norm) in norms {
            let ours = &ours[&name];
            let shift = if case.starts_with("gemma") && name.contains("norm") { 1e-5 } else { 0.0 };
            let square = |x: &f32| f64::from(*x) * f64::from(*x);
            let found = ours.iter().map(square).sum::<f64>().sqrt();
            assert!(
                (found - norm).abs() <= TOLERANCE * norm + shift,
                "{case} {name}: {found} {norm}"
            );
            let kept = file.tensors()[name.as_str()].shape.clone();
            let kept = file.floats(&name, &kept).expect("floats");
            let step = ours.len().div_ceil(64);
            let allowed = TOLERANCE * norm / (ours.len() as f64).sqrt() + shift;
            for (i, theirs) in kept.iter().enumerate() {
                let apart = f64::from((ours[i * step] - theirs).abs());
                assert!(apart <= allowed, "{case} {name} {i}: {} {theirs}", ours[i * step]);
            }
        }
    }
}

#[test]
fn a_model_of_every_family_can_be_trained_further() {
    let kernel = Kernel::new(Isa::best(), 2);
    for folder in folders() {
        let (case, model, tokens) = (name(&folder), parameters(&folder), tokens(&folder));
        let decoder = model.decoder().clone();
        let mut trainer = Trainer::new(&decoder).expect("valid");
        let adamw = AdamW { lr: 0.0, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0 };
        let mut optimizer = Optimizer::new(&decoder, adamw, Some(1.0)).expect("valid");
        let (mut params, seq) = (model.into_values(), tokens.len() - 1);
        let (mut grads, mut losses) = (vec![0.0; params.len()], Vec::new());
        for _ in 0..12 {
            let sum = trainer.loss_and_gradient(&kernel, &params, &tokens, 1, seq, &mut grads);
            losses.push(sum.expect("finite"));
            optimizer.step(&kernel, &mut params, &grads, 0.01).expect("finite");
        }
        // Gemma 2's caps leave it little room.
        assert!(losses[11] < 0.9 * losses[0], "{case}: {losses:?}");
    }
}

fn logits(model: Arc<Model>, tokens: &[u32]) -> Vec<u32> {
    let mut session = Session::new(model, Kernel::new(Isa::best(), 2));
    let mut all = Vec::new();
    let each = |_: usize, logits: &[f32]| all.extend(logits.iter().map(|x| x.to_bits()));
    session.extend_all(tokens, each).expect("room");
    all
}

fn write_folder(folder: &Path, model: &Parameters) {
    let (config, tensors) = write::hugging_face(model).expect("the family's own");
    fs::write(folder.join("config.json"), config.to_string()).expect("written");
    let sources: Vec<safetensors::Source<'_>> =
        tensors.iter().map(|t| (t.name.as_str(), t.shape.as_slice(), &*t.values)).collect();
    let bytes = safetensors::write(&sources, &BTreeMap::new());
    fs::write(folder.join("model.safetensors"), bytes).expect("written");
}

#[test]
fn a_written_folder_is_the_same_model() {
    for folder in folders() {
        let (case, model, tokens) = (name(&folder), parameters(&folder), tokens(&folder));
        let want = logits(Arc::new(Model::from(&model)), &tokens);
        let kernel = Kernel::new(Isa::best(), 2);
        let original = Arc::new(Model::open(&folder, &kernel).expect("readable"));
        // Weights of 16 bits are widened exactly, and a product of one or the other is the same.
        assert_eq!(logits(original, &tokens), want, "{case}: widened");
        let dir = tempfile::tempdir().expect("a temporary folder");
        write_folder(dir.path(), &model);
        let back = parameters(dir.path());
        assert_eq!(back.decoder(), model.decoder(), "{case}");
        let bits =
            |model: &Parameters| model.values().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        if case.starts_with("gemma") {
            let apart = back.values().iter().zip(model.values()).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 1e-7, "{case}");
        } else {
            assert!(bits(&back) == bits(&model), "{case}");
        }
    }
}

#[test]
fn a_written_gguf_is_the_same_model_or_refused_by_name() {
    let mut written = Vec::new();
    for folder in folders() {
        let (case, model, tokens) = (name(&folder), parameters(&folder), tokens(&folder));
        let (metadata, tensors) = match write::gguf(&model) {
            Ok(parts) => parts,
            Err(error) => {
                assert!(error.to_string().contains("no place"), "{case}: {error}");
                continue;
            }
        };
        let mut out = model::gguf::Writer::default();
        metadata.into_iter().for_each(|(key, value)| out.set(&key, value));
        tensors.into_iter().for_each(|t| out.tensor(&t.name, &t.shape, t.values));
        let (dir, mut bytes) = (tempfile::tempdir().expect("a temporary folder"), Vec::new());
        out.write_to(&mut bytes).expect("a vector");
        let path = dir.path().join("m.gguf");
        fs::write(&path, bytes).expect("written");
        let back = Arc::new(Model::open(&path, &Kernel::new(Isa::best(), 2)).expect("readable"));
        let (got, want) = (logits(back, &tokens), logits(Arc::new(Model::from(&model)), &tokens));
        // Llama 3's factors are rounded once more.
        assert!(got == want || case == "llama3", "{case}");
        written.push(case);
    }
    let good =
        ["falcon_11b", "falcon_40b", "falcon_7b", "gemma2", "gemma3_plain", "llama", "llama3"];
    let more = ["llama_linear_biases", "qwen2", "qwen3", "smollm3"];
    assert_eq!(written, [&good[..], &more[..]].concat());
}

#[test]
fn what_no_file_has_a_place_for_is_refused() {
    let llama = Decoder::tiny(40);
    let with = |decoder: &Decoder| {
        let params = model::init(decoder, 1).expect("valid");
        Parameters::new(decoder, params).expect("fits")
    };
    let model = with(&Decoder { qk_norms: true, ..llama.clone() });
    for error in [write::hugging_face(&model).err(), write::gguf(&model).err()] {
        assert!(error.expect("refused").to_string().contains("(llama)"));
    }
    // Llama.cpp would compute these otherwise, or look for other tensors.
    let window = vec![Layer { window: Some(8), rotary: Some(0) }; 2];
    let scaled = Rotary { scaling: Scaling::Factors(vec![2.0; 4]), ..Rotary::plain(8, 1e4) };
    let qwen = Sizes::tiny(40).decoder(Family::Qwen2);
    for odd in [
        Decoder { attention_cap: Some(50.0), ..llama.clone() },
        Decoder { final_cap: Some(30.0), ..llama.clone() },
        Decoder { layers: window.clone(), family: Family::Mistral, ..llama },
        Decoder { layers: window, ..qwen.clone() },
        Decoder { biases: Biases::default(), ..qwen.clone() },
        Decoder { rotaries: vec![scaled], ..qwen },
    ] {
        assert!(write::gguf(&with(&odd)).is_err(), "{odd:?}");
    }
}

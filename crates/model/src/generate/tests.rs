use kernel::Isa;

use super::*;
use crate::decoder::{Family, Sizes};
use crate::{Parameters, Trainer};

fn parameters() -> Parameters {
    let decoder = Sizes { tied: false, ..Sizes::tiny(50) }.decoder(Family::Llama);
    let mut params = crate::init(&decoder, 3).expect("valid");
    let stream = kernel::random::Stream::new(4, "test weights", 0);
    for (i, value) in params.iter_mut().enumerate() {
        *value += 0.1 * stream.normal_at(i as u64);
    }
    Parameters::new(&decoder, params).expect("fits")
}

fn model() -> Arc<Model> {
    Arc::new(Model::from(&parameters()))
}

/// The token of a step, if it is one.
fn chosen(step: Step) -> Option<u32> {
    match step {
        Step::Token(token) => Some(token),
        Step::Read(_) => None,
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn pieces_threads_and_training_agree_bit_for_bit() {
    let (trained, model) = (parameters(), model());
    let tokens: Vec<u32> = (0..37).map(|i| i * 17 % 50).collect();
    let kernel = Kernel::new(Isa::Scalar, 1);
    let mut trainer = Trainer::new(trained.decoder()).expect("valid");
    let all = trainer.logits(&kernel, trained.values(), &tokens, 1, 37).expect("valid");
    let want = bits(&all[36 * 50..]);
    for isa in Isa::available() {
        for (threads, chunk) in [(1, 37), (2, 1), (3, 5), (7, 36)] {
            let mut session = Session::new(Arc::clone(&model), Kernel::new(isa, threads));
            let mut last = Vec::new();
            for (index, chunk) in tokens.chunks(chunk).enumerate() {
                last = bits(session.extend(chunk).expect("room"));
                if index == 0 {
                    let row = chunk.len() - 1;
                    assert_eq!(last, bits(&all[row * 50..(row + 1) * 50]), "{isa} {chunk:?}");
                }
            }
            assert_eq!(last, want, "{isa} {threads} {chunk}");
        }
    }
}

#[test]
fn prompts_longer_than_a_piece_agree_with_single_tokens() {
    let sizes = Sizes { context: 600, layers: 1, ..Sizes::tiny(50) };
    let decoder = sizes.decoder(Family::Llama);
    let params = crate::init(&decoder, 3).expect("valid");
    let model = Arc::new(Model::new(&decoder, params).expect("fits"));
    let tokens: Vec<u32> = (0..CHUNK as u32 + 3).map(|i| i * 7 % 50).collect();
    let mut whole = Session::new(Arc::clone(&model), Kernel::new(Isa::best(), 2));
    let mut single = Session::new(model, Kernel::new(Isa::best(), 1));
    let want = bits(whole.extend(&tokens).expect("room"));
    let mut last = Vec::new();
    for token in tokens {
        last = bits(single.extend(&[token]).expect("room"));
    }
    assert_eq!(last, want);
}

#[test]
fn going_back_is_as_if_the_rest_had_not_been() {
    let mut session = Session::new(model(), Kernel::new(Isa::best(), 1));
    let want = bits(session.extend(&[1, 2, 3, 4]).expect("room"));
    session.extend(&[5, 6]).expect("room");
    session.truncate(3);
    assert_eq!(session.len(), 3);
    assert_eq!(bits(session.extend(&[4]).expect("room")), want);
}

#[test]
fn generated_text_does_not_depend_on_threads() {
    let model = model();
    for sampler in [Sampler::greedy(), Sampler { seed: 5, temperature: 1.5, ..Sampler::default() }]
    {
        let run = |isa, threads| {
            let mut session = Session::new(Arc::clone(&model), Kernel::new(isa, threads));
            let mut out = Vec::new();
            let end = session.generate(&[7], &sampler, 20, &[], |step| {
                out.extend(chosen(step));
                true
            });
            assert_eq!(end, Ok(Finish::Length));
            out
        };
        let want = run(Isa::Scalar, 1);
        assert_eq!(want.len(), 20);
        for threads in [1, 2, 3, 7] {
            assert_eq!(run(Isa::best(), threads), want);
        }
    }
}

#[test]
fn ends_at_stop_tokens_the_context_and_on_request() {
    let model = model();
    let new = || Session::new(Arc::clone(&model), Kernel::new(Isa::best(), 1));
    let greedy = Sampler::greedy();
    let mut first = None;
    let end = new().generate(&[7], &greedy, 9, &[], |step| {
        first = chosen(step);
        first.is_none()
    });
    assert_eq!(end, Ok(Finish::Cancelled));
    let stop = [first.expect("one was chosen")];
    assert_eq!(new().generate(&[7], &greedy, 9, &stop, |_| true), Ok(Finish::Stop));
    let mut count = 0;
    let end = new().generate(&[7; 60], &greedy, 99, &[], |step| {
        count += usize::from(chosen(step).is_some());
        true
    });
    assert_eq!((end, count), (Ok(Finish::ContextFull), 5));
    let full = new().generate(&[7; 65], &greedy, 1, &[], |_| true);
    assert_eq!(full, Err(GenerateError::ContextFull { held: 0, added: 65, context: 64 }));
    assert_eq!(new().extend(&[]), Err(GenerateError::Empty));
    let wrong = new().extend(&[1, 50]).map(<[f32]>::len);
    assert_eq!(wrong, Err(GenerateError::Token { index: 1, token: 50, vocab: 50 }));
}

#[test]
fn a_prompt_tells_how_far_it_was_read_and_can_be_given_up() {
    let sizes = Sizes { context: 1200, layers: 1, ..Sizes::tiny(50) };
    let decoder = sizes.decoder(Family::Llama);
    let model =
        Arc::new(Model::new(&decoder, crate::init(&decoder, 3).expect("valid")).expect("fits"));
    let prompt: Vec<u32> = (0..2 * CHUNK as u32 + 3).map(|i| i % 50).collect();
    let mut session = Session::new(model, Kernel::new(Isa::best(), 1));
    let mut told = Vec::new();
    let end = session.generate(&prompt, &Sampler::greedy(), 0, &[], |step| {
        told.push(step);
        true
    });
    assert_eq!(end, Ok(Finish::Length));
    assert_eq!(told, [CHUNK, 2 * CHUNK, 2 * CHUNK + 3].map(Step::Read));
    assert_eq!(session.tokens(), prompt);
    session.truncate(0);
    let end = session.generate(&prompt, &Sampler::greedy(), 9, &[], |_| false);
    assert_eq!((end, session.len()), (Ok(Finish::Cancelled), CHUNK));
    assert_eq!(session.tokens(), &prompt[..CHUNK]);
}

#[test]
fn a_smaller_context_ends_a_text_earlier() {
    let mut session = Session::new(model(), Kernel::new(Isa::best(), 1));
    session.set_context(5);
    let end = session.generate(&[1, 2, 3], &Sampler::greedy(), 9, &[], |_| true);
    assert_eq!((end, session.len()), (Ok(Finish::ContextFull), 5));
    let full = session.extend(&[1]).map(<[f32]>::len);
    assert_eq!(full, Err(GenerateError::ContextFull { held: 5, added: 1, context: 5 }));
    session.set_context(1000);
    assert_eq!(session.room(), 64 - 5);
}

#[test]
fn penalties_keep_a_text_from_repeating_itself() {
    let model = model();
    let made = |sampler: Sampler| {
        let mut session = Session::new(Arc::clone(&model), Kernel::new(Isa::best(), 1));
        let mut made = Vec::new();
        let end = session.generate(&[7], &sampler, 30, &[], |step| {
            made.extend(chosen(step));
            true
        });
        assert_eq!(end, Ok(Finish::Length));
        made
    };
    let distinct = |ids: Vec<u32>| ids.into_iter().collect::<std::collections::BTreeSet<_>>().len();
    let plain = distinct(made(Sampler::greedy()));
    assert!(plain < 30);
    // More than any logit differs from another: no token comes twice.
    let presence = Sampler { presence_penalty: 100.0, ..Sampler::greedy() };
    assert_eq!(distinct(made(presence)), 30);
    let frequency = Sampler { frequency_penalty: 100.0, ..Sampler::greedy() };
    assert_eq!(distinct(made(frequency)), 30);
    let repeat = Sampler { repeat_penalty: 100.0, ..Sampler::greedy() };
    assert!(distinct(made(repeat)) > plain);
}

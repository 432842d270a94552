//! `POST /v1/embeddings`: a text's words and letter triples, hashed into the asked number of dimensions. Alike texts
//! come out alike, and the same text always the same.

use super::faults::Faults;
use super::fields::Fields;
use super::refusal::Refusal;
use super::{OpenAi, models, requests};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const INPUTS_MAX: usize = 2_048;
/// About the 8,192 tokens that the real models take.
const INPUT_CHARACTERS_MAX: usize = 32_768;

pub(super) async fn create(
    State(openai): State<OpenAi>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    requests::answer(&openai, "/v1/embeddings", &headers, body, answer).await
}

fn answer(_: &OpenAi, faults: &Faults, asked: &Value) -> Result<Value, Refusal> {
    if let Some(status) = faults.embeddings_status() {
        return Err(Refusal::of_status(status));
    }
    let fields = Fields::of("", asked)?.only(&["model", "input", "dimensions", "encoding_format", "user"])?;
    let model = fields.required("model", fields.text("model")?)?;
    let Some((_, largest)) = models::EMBEDDING.iter().find(|(name, _)| *name == model) else {
        return Err(Refusal::of_status(404));
    };
    let largest = u64::try_from(*largest).unwrap_or(u64::MAX);
    let dimensions = fields.integer("dimensions", 1..=largest)?.unwrap_or(largest);
    let format = fields.one_of("encoding_format", &["float", "base64"])?.unwrap_or("float");
    let texts = texts(fields.get("input").ok_or_else(|| Refusal::missing("input"))?)?;
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = embedded(text, usize::try_from(dimensions).unwrap_or(1));
            let embedding = if format == "float" { json!(vector) } else { in_base64(&vector).into() };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    let tokens: usize = texts.iter().map(|text| text.len() / 4 + 1).sum();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    Ok(json!({ "object": "list", "model": model, "data": data, "usage": usage }))
}

fn texts(input: &Value) -> Result<Vec<&str>, Refusal> {
    let texts: Option<Vec<&str>> = match input {
        Value::String(text) => Some(vec![text]),
        Value::Array(texts) => texts.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    let texts =
        texts.ok_or_else(|| Refusal::wrong_type("input", "a string or an array of strings", input))?;
    if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
        return Err(Refusal::value("input", "'$.input' is invalid. Please check the API reference."));
    }
    if INPUTS_MAX < texts.len() || texts.iter().any(|text| INPUT_CHARACTERS_MAX < text.len()) {
        return Err(Refusal::value("input", "This model's maximum context length is 8192 tokens."));
    }
    Ok(texts)
}

fn embedded(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    let mut add = |piece: &[u8], weight: f32| {
        let hash = piece.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let place = usize::try_from((hash >> 8) % u64::try_from(dimensions).unwrap_or(1)).unwrap_or(0);
        if let Some(value) = vector.get_mut(place) {
            *value += if hash & 1 == 0 { weight } else { -weight };
        }
    };
    let text = text.to_lowercase();
    for word in text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
        add(word.as_bytes(), if word.len() < 4 { 0.5 } else { 2.0 });
        for triple in word.as_bytes().windows(3) {
            add(triple, 0.5);
        }
    }
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length == 0.0 {
        if let Some(first) = vector.first_mut() {
            *first = 1.0;
        }
        return vector;
    }
    vector.iter().map(|value| value / length).collect()
}

fn in_base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_texts_are_alike() {
        let alike = |one: &str, other: &str| {
            let (one, other) = (embedded(one, 256), embedded(other, 256));
            one.iter().zip(other).map(|(a, b)| a * b).sum::<f32>()
        };
        let car = "John Smith drives a 2019 Toyota Camry.";
        assert!(
            alike("What car does he drive, the Toyota?", car)
                > alike("He lives in Orange County.", car) + 0.1
        );
        assert!((alike(car, car) - 1.0).abs() < 1e-5);
    }
}

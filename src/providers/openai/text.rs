//! OpenAI's text models through `async-openai`: structured answers and embeddings. Must never know what is asked, nor
//! put an answer into an error.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::types::embeddings::{CreateEmbeddingRequest, EmbeddingInput, EncodingFormat};
use async_openai::types::responses::{
    CreateResponse, InputParam, ResponseFormatJsonSchema, ResponseTextParam, Status,
    TextResponseFormatConfiguration,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config;
use crate::error::Fault;
use crate::providers::http::Trouble;

/// The text models, with their names. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TextModels {
    client: Client<OpenAIConfig>,
    text_model: String,
    embedding_model: String,
}

/// A question whose answer must fit a schema.
#[derive(Debug)]
pub struct Question<'q> {
    /// What the model is to do.
    pub instructions: &'q str,
    /// What it is to do it with.
    pub input: &'q str,
    /// Names the schema: letters, digits, `_` and `-`.
    pub schema_name: &'q str,
    /// The strict JSON Schema of the answer.
    pub schema: Value,
}

impl TextModels {
    const ANSWER_TOKENS_MAX: u32 = 2_000;

    /// The models at the configured base URL.
    pub fn new(config: &config::OpenAi, http: &reqwest::Client) -> Self {
        let openai = OpenAIConfig::new()
            .with_api_key(config.api_key.reveal())
            .with_api_base(config.base_url.as_str().trim_end_matches('/'));
        Self {
            client: Client::with_config(openai).with_http_client(http.clone()),
            text_model: config.text_model.clone(),
            embedding_model: config.embedding_model.clone(),
        }
    }

    /// The model that answers questions.
    pub fn text_model(&self) -> &str {
        &self.text_model
    }

    /// The model that makes vectors.
    pub fn embedding_model(&self) -> &str {
        &self.embedding_model
    }

    /// Asks a question and reads the answer.
    pub async fn answer<T: DeserializeOwned>(&self, question: Question<'_>) -> Result<T, Trouble> {
        let format = ResponseFormatJsonSchema {
            name: question.schema_name.to_owned(),
            description: None,
            schema: question.schema,
            strict: Some(true),
        };
        let request = CreateResponse {
            model: Some(self.text_model.clone()),
            instructions: Some(question.instructions.to_owned()),
            input: InputParam::Text(question.input.to_owned()),
            max_output_tokens: Some(Self::ANSWER_TOKENS_MAX),
            store: Some(false),
            text: Some(ResponseTextParam {
                format: TextResponseFormatConfiguration::JsonSchema(format),
                verbosity: None,
            }),
            ..CreateResponse::default()
        };
        let response =
            self.client.responses().create(request).await.map_err(|e| trouble("ask the model", e))?;
        if response.status != Status::Completed {
            return Err(Trouble::passing("ask the model: the answer is not complete"));
        }
        let text =
            response.output_text().ok_or_else(|| Trouble::lasting("ask the model: it refused to answer"))?;
        serde_json::from_str(&text)
            .map_err(|_| Trouble::passing("ask the model: the answer does not fit the schema"))
    }

    /// The vector of a text.
    pub async fn embed(&self, text: &str, dimensions: usize) -> Result<Vec<f32>, Trouble> {
        let request = CreateEmbeddingRequest {
            model: self.embedding_model.clone(),
            input: EmbeddingInput::String(text.to_owned()),
            encoding_format: Some(EncodingFormat::Float),
            user: None,
            dimensions: u32::try_from(dimensions).ok(),
        };
        let answer =
            self.client.embeddings().create(request).await.map_err(|e| trouble("embed a text", e))?;
        let vector = answer.data.into_iter().next().map(|found| found.embedding).unwrap_or_default();
        if vector.len() == dimensions {
            Ok(vector)
        } else {
            Err(Trouble::lasting(format!(
                "embed a text: {} dimensions instead of {dimensions}",
                vector.len()
            )))
        }
    }
}

/// Keeps the kind of failure and drops its text, which may quote the request.
fn trouble(doing: &str, error: OpenAIError) -> Trouble {
    match error {
        OpenAIError::ApiError(answer) => {
            let code = answer.api_error.code.unwrap_or_default();
            let status = answer.status_code.as_u16();
            let known = matches!(code.as_str(), "insufficient_quota" | "invalid_api_key" | "model_not_found");
            let told = if known { format!("{doing} ({code})") } else { doing.to_owned() };
            Trouble {
                passing: Trouble::of_status("", status).passing && !known,
                ..Trouble::of_status(&told, status)
            }
        }
        OpenAIError::Reqwest(error) => {
            Trouble { fault: Fault::caused(doing.to_owned(), error.without_url()), passing: true }
        }
        OpenAIError::JSONDeserialize(..) => {
            Trouble::passing(format!("{doing}: the answer is not of OpenAI's form"))
        }
        OpenAIError::FileSaveError(_)
        | OpenAIError::FileReadError(_)
        | OpenAIError::StreamError(_)
        | OpenAIError::InvalidArgument(_) => {
            Trouble::lasting(format!("{doing}: the request could not be made"))
        }
    }
}

"""Claude through Bedrock's InvokeModel: Anthropic's messages in Amazon's paths and framing. Only backends speak it."""

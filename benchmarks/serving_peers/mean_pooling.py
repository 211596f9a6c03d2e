"""The fine-tuned model as transformers' custom code: `serving_model.py` puts this file beside the weights that the stock peers serve.

`AutoModelForSequenceClassification` has no mean pooling for BERT: its head sits on the pooler of [CLS]. This class differs in that alone.
"""

from typing import Any

from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanPoolingForSequenceClassification(BertPreTrainedModel):
    """BERT encoder, mean of its last layer over the real tokens, one linear layer."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None, **_: Any) -> Any:
        """Logits, (rows, labels)."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return SequenceClassifierOutput(logits=self.classifier((hidden * weight).sum(1) / weight.sum(1)))

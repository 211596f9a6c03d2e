"""FastAPI and `pipeline()` as their documentations show them: `uvicorn fastapi_pipeline:app --workers 2`."""

import os

from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

classifier = pipeline("text-classification", model=os.environ["BENCH_MODEL"], trust_remote_code=True, device="cpu")
app = FastAPI()


class Message(BaseModel):
    """The body of a request."""

    text: str


@app.post("/classify")
def classify(message: Message) -> dict[str, str | float]:
    """Label and score of one text; a plain `def`, which FastAPI runs in its thread pool."""
    found: dict[str, str | float] = classifier(message.text)[0]
    return found

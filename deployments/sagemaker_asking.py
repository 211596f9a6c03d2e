"""One question to a SageMaker endpoint, and which image answers it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from deployments.sagemaker_captures import ASKED_BY_US, THROUGH_THE_SPLIT
from deployments.sagemaker_clients import Clients, answered
from deployments.sagemaker_objects import CHALLENGER, CHAMPION
from deployments.sagemaker_state import Now, States
from deployments.target import Cohort
from headgate.errors import BadInput, NotFound, Unavailable


@dataclass(frozen=True)
class Asking:
    """Asks the endpoints of one region."""

    clients: Clients
    states: States

    def ask(self, endpoint: str, body: dict[str, Any], cohort: Cohort | None) -> tuple[Mapping[str, Any], str]:
        """The answer, and the variant that gave it."""
        named_one = {"TargetVariant": self._variant(endpoint, cohort)} if cohort else {}
        request = {"Body": json.dumps(body).encode(), "ContentType": "application/json", "Accept": "application/json", **named_one}
        try:
            return self._asked(endpoint, {**request, "InferenceId": f"{ASKED_BY_US if cohort else THROUGH_THE_SPLIT}{uuid4()}"})
        except NotFound:
            self._now(endpoint)  # says so where there is none
            raise

    def _asked(self, endpoint: str, request: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        with answered(f"endpoint {endpoint}"):
            try:
                said = self.clients.runtime.invoke_endpoint(EndpointName=endpoint, **request)
            except self.clients.runtime.exceptions.ModelError as fault:
                raise _said_no(endpoint, fault.response) from fault
            return json.loads(said["Body"].read()), said.get("InvokedProductionVariant", CHAMPION)

    def _variant(self, endpoint: str, cohort: Cohort) -> str:
        """The variant by which SageMaker reaches a cohort alone."""
        now = self._now(endpoint)
        if cohort == "challenger" and self.states.layout(now).challenger is None:
            raise NotFound(f"endpoint {endpoint} has no {cohort}; deploy one first")
        if cohort == "champion" and now.pending is None:
            return CHAMPION
        if cohort == "challenger" and now.config.cast.shape == "side_by_side":
            return CHALLENGER
        why = "both fleets have the same variant while SageMaker shifts" if now.pending else "it is no variant beside the champion"
        raise NotFound(f"endpoint {endpoint}: the {cohort} cannot be asked by name: {why}")

    def image(self, now: Now, variant: str) -> str | None:
        """The digest of the image that SageMaker resolved for a variant."""
        variants: list[dict[str, Any]] = now.described.get("ProductionVariants") or []
        found = next((one for one in variants if one["VariantName"] == variant), dict[str, Any]())
        images = [str(one.get("ResolvedImage", "")) for one in found.get("DeployedImages") or []]
        return next((image.partition("@")[2] for image in images if "@" in image), None)

    def _now(self, endpoint: str) -> Now:
        if (now := self.states.now(endpoint)) is None:
            raise NotFound(f"no endpoint {endpoint}; a release makes one")
        return now


def _said_no(endpoint: str, response: Mapping[str, Any]) -> BadInput | Unavailable:
    """What the container answered in place of 200."""
    status, said = int(response.get("OriginalStatusCode") or 500), str(response.get("OriginalMessage") or "")
    told = f"endpoint {endpoint} answered {status}: {said[:2000] or response.get('Error', {}).get('Message', '')}"
    return BadInput(told) if 400 <= status < 500 else Unavailable(told)

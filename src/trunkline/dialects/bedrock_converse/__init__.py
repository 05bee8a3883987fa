"""Amazon Bedrock's Converse. Other packages import these objects alone."""

from trunkline.dialects.bedrock_converse.dialect import ConverseUpstream
from trunkline.dialects.interfaces import Upstream

UPSTREAM: Upstream = ConverseUpstream()

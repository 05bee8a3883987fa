"""Wire formats. A folder each; every one is translated to and from `trunkline.model`, never to another."""

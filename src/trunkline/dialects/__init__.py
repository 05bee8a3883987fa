"""Wire formats, one package each. A dialect is translated to and from `trunkline.model`, never to another dialect."""

"""Google's generateContent: Gemini at AI Studio and Vertex."""

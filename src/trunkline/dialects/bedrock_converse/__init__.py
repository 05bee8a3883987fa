"""AWS Bedrock's Converse and ConverseStream: the far side of the dialect `converse`."""

"""The quizzes' questions: {set: [{ask, right, choices: {letter: (text, explanation)}}]}."""

QUIZZES = {
    "01": [
        {"ask": "Test films show 62 % pneumonia. A model has an accuracy of 62 %. What has it learned?", "right": "c", "choices": {
            "a": ("Something: it beats 50 %.", "50 % is the mark of guessing only where both classes are equally common."),
            "b": ("It has found 62 % of the ill.", "That would be its sensitivity. Accuracy mixes the ill and the healthy."),
            "c": ("Perhaps nothing: calling every film pneumonia scores the same.", "The rule without skill is the mark to compare with."),
        }},
        {"ask": "person7_bacteria_12 is in training and person7_virus_30 in the test. By the scheme of the file names, is that a leak?", "right": "b", "choices": {
            "a": ("Yes, person7 is on both sides.", "The number starts anew for each kind of pneumonia. They are two children."),
            "b": ("No, these are two children.", "The child is the number and the kind. Inside training one may still keep them together, to be safe."),
            "c": ("It cannot be known.", "By the names they are two. That nobody can check the names is why the course keeps a number together inside training; it does "
                                         "not make this a leak."),
        }},
        {"ask": "One child has six films. Why must all six be on one side?", "right": "a", "choices": {
            "a": ("A network can know the child by its ribs and heart, and then needs no lungs.", "The network would be right for the wrong reason, "
                                                                                                  "and its score would not hold for new children."),
            "b": ("Otherwise the classes get unbalanced.", "Balance is another matter; six films move it little."),
            "c": ("Copies of one film would be counted twice.", "Six films of a child are six films. Copies are a leak of their own."),
        }},
        {"ask": "A classifier on file size alone reaches AUC 0.12. What follows?", "right": "b", "choices": {
            "a": ("File size is useless: 0.12 is below 0.5.", "Turn the sign and it is 0.88. Useless is 0.5."),
            "b": ("File size gives the label away.", "Far from a half, on either side, is what counts."),
            "c": ("The labels are wrong.", "Nothing points to that. The files of the two classes were made differently."),
        }},
    ],
    "02": [
        {"ask": "What does 'frozen' mean?", "right": "a", "choices": {
            "a": ("The backbone's weights take part and do not change.", "So a film's features are the same in each epoch."),
            "b": ("The backbone is skipped.", "Without it there would be no features to learn from."),
            "c": ("Its weights change more slowly.", "That is fine-tuning with a small learning rate. Frozen means: not at all."),
        }},
        {"ask": "Films are divided by 255 before a network that rescales inside. What happens?", "right": "c", "choices": {
            "a": ("An error about the range.", "Keras says nothing. This kit refuses such films because nothing else would."),
            "b": ("Nothing: rescaling twice is harmless.", "The first layer then sees nearly the same, nearly black value everywhere: all films look alike."),
            "c": ("It trains without a word, on films that all look black to it.", "The commonest silent bug of this course."),
        }},
        {"ask": "Why compute features once instead of in every epoch?", "right": "b", "choices": {
            "a": ("The head learns something better.", "It learns the same, up to float noise."),
            "b": ("The frozen backbone would give the same numbers each time.", "What does not change needs to be computed once."),
            "c": ("To save memory.", "It takes some memory: the features are kept."),
        }},
        {"ask": "Features are standardised with the mean of training and validation together. Is that a leak?", "right": "a", "choices": {
            "a": ("Yes, a small one: validation has helped to prepare training.", "And once it is a habit, the next step that peeks is larger."),
            "b": ("No, labels were not used.", "A leak needs no labels: the films of the other hospital would have moved the mean as well."),
            "c": ("Only if there are few films.", "With few films it shows more. It is a leak in any case."),
        }},
    ],
    "03": [
        {"ask": "Training loss falls, validation loss has been rising for five epochs. What now?", "right": "b", "choices": {
            "a": ("Train longer; it will come back.", "The network is learning its training films by heart; more of it makes it worse."),
            "b": ("Go back to the epoch with the best validation score.", "That is what keeping the best epoch is for."),
            "c": ("Raise the learning rate.", "That would not make it forget what it learned by heart."),
        }},
        {"ask": "The training loss lies above the validation loss. Is something wrong?", "right": "c", "choices": {
            "a": ("Yes, validation must have leaked.", "It may have; but there are everyday reasons first."),
            "b": ("Yes, validation is always harder.", "Not here: training sees augmented films, with dropout, and its loss is an average while still learning."),
            "c": ("Not by itself.", "Augmentation, dropout and averaging over the epoch all raise the training loss."),
        }},
        {"ask": "Why is mirroring left out?", "right": "a", "choices": {
            "a": ("It moves the heart to the other side.", "The result is not a film that this child could have had."),
            "b": ("It doubles the time.", "It costs next to nothing."),
            "c": ("Networks cannot learn from mirrored films.", "They can; the question is what they learn."),
        }},
        {"ask": "Why does the learning rate start near 0?", "right": "b", "choices": {
            "a": ("So that the first epoch is fast.", "Small steps are not faster."),
            "b": ("The optimiser does not know the gradients' size yet, and one wild step can undo the borrowed weights.", "That is the warm-up."),
            "c": ("So that batch normalisation can adapt.", "Its statistics stay as they are in this course."),
        }},
    ],
    "04": [
        {"ask": "The threshold falls from 0.5 to 0.2. What happens?", "right": "a", "choices": {
            "a": ("More ill children are found, more healthy ones are flagged.", "Sensitivity up or level, specificity down or level."),
            "b": ("Fewer ill children are found.", "More films reach a lower threshold, not fewer."),
            "c": ("The AUC falls.", "The AUC looks at all thresholds at once; choosing one does not move it."),
        }},
        {"ask": "95 % of the ill are found, 5 % of the healthy are flagged, 1 in 100 is ill. A child is flagged. How likely is it ill?", "right": "b", "choices": {
            "a": ("95 %.", "That is the sensitivity: among the ill, the flagged. The question is the other way round."),
            "b": ("About 16 %.", "Of 10,000: 95 of the 100 ill, and 495 of the 9,900 healthy are flagged. 95 of 590."),
            "c": ("About 1 %.", "That is the share before the test. A flag raises it sixteenfold."),
        }},
        {"ask": "A model has AUC 0.98. Is its '90 %' to be believed?", "right": "c", "choices": {
            "a": ("Yes, the AUC is high.", "The AUC looks at the order only: square all probabilities and it stays."),
            "b": ("No, never.", "It may be honest. Something else has to tell."),
            "c": ("The AUC cannot say; a calibration curve can.", "Of the films given about 90 %, what share is ill?"),
        }},
        {"ask": "Why is the threshold locked before the test split is opened?", "right": "a", "choices": {
            "a": ("Chosen on the test films it would fit them, and its score would be too good.", "A choice is a kind of training."),
            "b": ("To save time.", "It costs seconds either way."),
            "c": ("Because 0.5 is unfair.", "0.5 may be fair or not; that is another question."),
        }},
    ],
    "05": [
        {"ask": "AUC and sensitivity are the same in the new hospital, the PPV has halved. First guess?", "right": "c", "choices": {
            "a": ("The model is broken.", "It ranks and finds as before."),
            "b": ("The training films leaked into the test.", "Then the AUC would fall on new children."),
            "c": ("The ill are rarer there.", "The same model, more healthy children to raise false alarms."),
        }},
        {"ask": "A model looks at the side marker. Which evidence is the strongest?", "right": "b", "choices": {
            "a": ("Its heat map is bright in a corner.", "A hint. Heat maps are bright in corners for many reasons."),
            "b": ("Among films with the same letter its AUC is lower.", "Hold the letter fixed, and what it told is gone."),
            "c": ("The letter is large.", "Large is not yet used."),
        }},
        {"ask": "Half of the test films show children who were trained on. What is to be reported?", "right": "a", "choices": {
            "a": ("The result on the other half, and that it is the other half.", "Fewer films, a wider interval, an honest number."),
            "b": ("The whole result with a footnote.", "The number would be quoted and the footnote would not."),
            "c": ("Nothing can be reported.", "The clean films are still a test."),
        }},
    ],
}
